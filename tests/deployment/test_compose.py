"""docker-compose.yml: every part apart, watched, without more rights than it needs."""

from __future__ import annotations

from typing import Any

import pytest

from config.new_secrets import make_secrets
from tests.deployment.compose import named_variables, read_compose
from tests.house.test_settings_documented import documented

PARTS = {"web", "gateway", "worker", "beat"}
# Of the compose file itself: how it makes the database, and where ports lie on the host.
OWN = {"POSTGRES_PASSWORD", "GATEWAY_PORT"}
# Of the image: where the server listens in its container, and where its spool lies.
SETTLED = {"HOST", "PORT", "TOLLGATE_DATA"}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = read_compose(make_secrets())["services"]
    return found


def test_every_part_runs_apart(services: dict[str, Any]) -> None:
    assert set(services) == {*PARTS, "postgres", "redis", "migrate", "tools"}
    commands = [tuple(services[name]["command"]) for name in PARTS]
    assert len(set(commands)) == len(PARTS)


@pytest.mark.parametrize(
    "name", ["POSTGRES_PASSWORD", "SECRET_KEY", "KEY_PEPPERS", "CREDENTIAL_KEYS"]
)
def test_it_does_not_start_without_a_secret(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        read_compose({**make_secrets(), name: ""})


def test_no_secret_stands_in_the_file(services: dict[str, Any]) -> None:
    env = services["web"]["environment"]
    made = {name: f"made-for-{name}" for name in make_secrets()}
    filled = read_compose(made)["services"]["web"]["environment"]
    assert {name: filled[name] for name in made if name in filled} == {
        name: value for name, value in made.items() if name in filled
    }
    assert made["POSTGRES_PASSWORD"] in filled["DATABASE_URL"]
    assert env.keys() == filled.keys()


def test_every_variable_is_a_documented_setting() -> None:
    env = read_compose(make_secrets())["services"]["web"]["environment"]
    assert set(env) - documented().keys() == set()
    # A setting in .env that is not named here was lost without a word.
    assert documented().keys() - set(env) == SETTLED
    assert named_variables() - documented().keys() == OWN


def test_whatever_runs_on_is_watched_and_started_again(services: dict[str, Any]) -> None:
    for name in (*PARTS, "postgres", "redis"):
        assert services[name]["healthcheck"]["test"], name
        assert services[name]["restart"] == "unless-stopped", name
    for name in ("migrate", "tools"):
        assert services[name]["restart"] == "no"


def test_logs_do_not_fill_the_disk(services: dict[str, Any]) -> None:
    for name in (*PARTS, "postgres", "redis"):
        assert services[name]["logging"]["options"].keys() == {"max-size", "max-file"}, name


def test_other_containers_reach_redis_whatever_image_it_is(services: dict[str, Any]) -> None:
    """A Valkey built without Docker's patch refused everybody: no password, not loopback."""
    command = services["redis"]["command"]
    assert command[command.index("--protected-mode") + 1] == "no"
    assert "ports" not in services["redis"]


def test_nothing_starts_before_the_migrations_are_done(services: dict[str, Any]) -> None:
    for name in PARTS:
        needed = services[name]["depends_on"]
        assert needed["migrate"] == {"condition": "service_completed_successfully"}, name
        assert needed["redis"] == {"condition": "service_healthy"}, name
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["migrate"]["command"][:3] == ["python", "manage.py", "migrate"]


def test_parts_have_no_more_rights_than_they_need(services: dict[str, Any]) -> None:
    for name in (*PARTS, "migrate", "tools"):
        part = services[name]
        assert part["read_only"] is True, name
        assert part["cap_drop"] == ["ALL"], name
        assert part["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "user", "network_mode", "pid"} & part.keys(), name
    published = {name for name, service in services.items() if "ports" in service}
    assert published == {"web", "gateway"}


def test_a_call_that_runs_has_time_to_end(services: dict[str, Any]) -> None:
    for name in PARTS:
        assert services[name]["stop_grace_period"] == "60s"


def test_what_must_outlive_a_container_lies_in_a_volume(services: dict[str, Any]) -> None:
    kept = read_compose(make_secrets())["volumes"]
    assert set(kept) == {"postgres", "spool", "backups"}
    # Whoever ends a process that died reads its spool, so the worker has it too.
    for name in PARTS:
        assert services[name]["volumes"] == ["spool:/data"], name
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_every_image_of_others_is_pinned_to_a_version(services: dict[str, Any]) -> None:
    images = {services[name]["image"] for name in ("postgres", "redis")}
    for image in images:
        tag = image.partition(":")[2]
        assert tag.partition("-")[0].count(".") >= 1, image
        assert "latest" not in tag
