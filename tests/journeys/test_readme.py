"""What the README tells a stranger to type, typed: only port, keys and ids are filled in."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.running import REPOSITORY, Run
from tests.product import manage

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README = (REPOSITORY / "README.md").read_text()


def list_blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(README) if kind == language]


def fill_in(text: str, run: Run) -> str:
    key = run.read_demo()["DEMO_KEY"]
    return text.replace("localhost:8000", f"localhost:{run.port}").replace("tg_...", key)


def test_the_curl_line_is_answered_by_a_stream(product: Run) -> None:
    (line,) = [block for block in list_blocks("") if block.startswith("curl ")]
    done = subprocess.run(
        ["bash", "-c", fill_in(line, product)], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("data: [DONE]\n\n")


def test_the_python_program_prints_an_answer(product: Run) -> None:
    (program,) = list_blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", fill_in(program, product)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "demo provider" in done.stdout


@pytest.fixture
def declared(product: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example file, applied; what that printed."""
    (example,) = list_blocks("yaml")
    (tmp_path / "acme.yaml").write_text(example)
    product.env["OPENAI_API_KEY"] = "sk-nobodys"
    return manage(product, "apply", str(tmp_path / "acme.yaml"))


def test_the_example_file_is_applied_and_its_key_is_printed(product: Run, declared: str) -> None:
    assert re.search(r"^key ci of acme/default, shown this once: tg_\w+$", declared, re.MULTILINE)


def test_every_command_line_works(product: Run, declared: str) -> None:
    lines = re.findall(r"^\.venv/bin/python manage\.py ([^#\n]+)", README, re.MULTILINE)
    assert {line.split()[0] for line in lines} >= {"apply", "issue_key", "revoke_key"}
    issued = ""
    for line in lines:
        arguments = line.split()
        if arguments[0] == "apply":
            continue
        if arguments[0] == "revoke_key":
            arguments[1] = re.search(r"tg_(\w{12})", issued)[1]  # type: ignore[index]
        printed = manage(product, *arguments)
        issued = printed if arguments[0] == "issue_key" else issued
