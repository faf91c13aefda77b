"""What a first start declares, and the files it keeps."""

from pathlib import Path
from typing import Any

import pytest

from gateway.models import Route
from local.banner import compose_banner
from local.demo import compose_declaration
from local.folder import DataFolder, read_assignments
from local.options import REAL_KEYS, Options, is_loopback

PROVIDER = "http://127.0.0.1:9900"


@pytest.fixture(autouse=True)
def _no_real_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REAL_KEYS:
        monkeypatch.delenv(name, raising=False)


def routes_of(declaration: dict[str, Any]) -> dict[str, str]:
    return {model["name"]: model["routes"][0]["provider"] for model in declaration["models"]}


def test_without_real_keys_the_demo_provider_answers_for_every_model() -> None:
    declaration = compose_declaration(PROVIDER)
    assert routes_of(declaration)["gpt-4o"] == "demo-openai"
    assert routes_of(declaration)["claude-3-5-sonnet-latest"] == "demo-anthropic"
    addresses = [provider["base_url"] for provider in declaration["providers"]]
    assert addresses == [f"{PROVIDER}/v1", PROVIDER]


def test_a_real_key_brings_its_provider_and_never_stands_in_the_declaration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    declaration = compose_declaration(PROVIDER)
    assert routes_of(declaration)["gpt-4o"] == "openai"
    assert routes_of(declaration)["claude-3-5-sonnet-latest"] == "demo-anthropic"
    assert declaration["providers"][-1]["credential"] == "env:OPENAI_API_KEY"
    assert "sk-real" not in str(declaration)


def find_stand_in(declaration: dict[str, Any], model: str) -> dict[str, Any]:
    (declared,) = [each for each in declaration["models"] if each["name"] == model]
    (found,) = [each for each in declared["routes"] if each["provider"].startswith("demo-")]
    return dict(found)


def test_the_demo_provider_steps_aside_once_a_real_key_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its route stayed in use beside the real one: it answered every other call, at its price."""
    before = compose_declaration(PROVIDER)
    assert find_stand_in(before, "gpt-4o")["enabled"] is True
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    after = compose_declaration(PROVIDER)
    assert find_stand_in(after, "gpt-4o")["enabled"] is False
    assert find_stand_in(after, "grok-4")["enabled"] is True


def test_a_route_of_a_file_goes_before_the_demo_providers() -> None:
    declared = find_stand_in(compose_declaration(PROVIDER), "gpt-4o")
    assert declared["priority"] > Route._meta.get_field("priority").default


def test_what_real_providers_count_beyond_the_request_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Strict quotas hold what is declared: less would be overshot by every call with a tool."""
    demo = {model["name"]: model for model in compose_declaration(PROVIDER)["models"]}
    assert "overhead_tokens" not in demo["grok-4"]
    for name in REAL_KEYS:
        monkeypatch.setenv(name, "real")
    real = {model["name"]: model for model in compose_declaration(PROVIDER)["models"]}
    assert real["claude-3-5-sonnet-latest"]["overhead_tokens"] >= 530
    for name in ("grok-4", "grok-4-latest"):
        assert real[name]["overhead_tokens"] >= 686
        assert real[name]["routes"][0]["cap_bounds_reasoning"] is False
        assert "cap_bounds_reasoning" not in demo[name]["routes"][0]


def test_secrets_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    made = folder.read_secrets()
    folder.add_assignments({"DEMO_KEY": "tg_1"})
    assert folder.read_secrets() == {**made, "DEMO_KEY": "tg_1"}
    assert folder.demo_env.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(made["KEY_PEPPERS"].removeprefix("1:"))) == 32


def test_a_file_that_was_half_written_does_not_count(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    (tmp_path / "demo.env.new").write_text("SECRET_KEY=hal")
    assert len(folder.read_secrets()["SECRET_KEY"]) > 40
    assert read_assignments(folder.demo_env) == folder.read_secrets()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_only_this_machine_is_loopback(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def make_options(*, host: str, database_url: str = "") -> Options:
    return Options(
        host=host,
        port=8000,
        public_url="http://localhost:8000",
        data_dir=Path("/data"),
        database_url=database_url,
        redis_url="",
    )


def test_the_banner_shows_login_and_a_call_that_can_be_pasted() -> None:
    banner = compose_banner(
        make_options(host="127.0.0.1"),
        {"DEMO_EMAIL": "a@example.com", "DEMO_PASSWORD": "pass", "DEMO_KEY": "tg_1"},
    )
    assert "a@example.com" in banner
    assert (
        '\ncurl http://localhost:8000/v1/chat/completions \\\n  -H "Authorization: Bearer tg_1"'
        in (banner)
    )


def test_the_banner_of_an_open_host_shows_no_login_or_key() -> None:
    banner = compose_banner(make_options(host="0.0.0.0"), {"DEMO_KEY": "tg_1"})
    assert "tg_1" not in banner
    assert "createsuperuser" in banner
    assert "HOST=0.0.0.0" in banner


def test_the_banner_of_a_real_database_says_why_there_is_no_demo() -> None:
    banner = compose_banner(make_options(host="127.0.0.1", database_url="postgres://x"), {})
    assert "DATABASE_URL" in banner
