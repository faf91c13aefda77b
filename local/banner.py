"""What each start prints: where the console is, who can log in, and a call that works."""

from collections.abc import Mapping

from local.options import Options

DEMO_MODEL = "gpt-4o"


def compose_banner(options: Options, demo: Mapping[str, str]) -> str:
    """`demo` holds DEMO_EMAIL, DEMO_PASSWORD and DEMO_KEY where they were made."""
    lines = ["", f"Tollgate is running: {options.public_url}/", ""]
    lines += _describe_demo(options, demo) if options.demo else _describe_operator(options)
    lines += [
        "",
        f"  Data and logs   {options.data_dir}",
        "  Stop            Ctrl-C",
        "",
    ]
    return "\n".join(lines)


def _describe_demo(options: Options, demo: Mapping[str, str]) -> list[str]:
    body = f'{{"model": "{DEMO_MODEL}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    return [
        f"  Console         {options.public_url}/",
        f"  Login           {demo.get('DEMO_EMAIL', '')}",
        f"  Password        {demo.get('DEMO_PASSWORD', '')}",
        f"  Kept in         {options.data_dir / 'demo.env'}",
        "",
        "Make a call:",
        "",
        f"curl {options.public_url}/v1/chat/completions \\",
        f'  -H "Authorization: Bearer {demo.get("DEMO_KEY", "")}" \\',
        '  -H "Content-Type: application/json" \\',
        f"  -d '{body}'",
    ]


def _describe_operator(options: Options) -> list[str]:
    reason = (
        f"HOST={options.host} is not this machine alone"
        if options.embedded_database
        else "DATABASE_URL names a database of yours"
    )
    return [
        f"  Console         {options.public_url}/",
        "",
        f"No demo login and no demo key were made, because {reason}.",
        "Make an operator:     .venv/bin/python manage.py createsuperuser",
        "Declare your setup:   .venv/bin/python manage.py apply FILE.yaml",
    ]
