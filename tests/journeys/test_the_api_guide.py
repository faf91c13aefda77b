"""docs/guides/by-api.md does what it says: its commands are run as they stand, in one shell."""

import json
import re
import shutil
import subprocess
import sys
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.house.tracked import ROOT
from tests.local.running import Run
from tests.product import read_report, read_rows

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

GUIDE = ROOT / "docs" / "guides" / "by-api.md"


@pytest.fixture(scope="module")
def followed(product: Run) -> str:
    """What the commands printed, run from top to bottom against a run of the product."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 7
    script = "\n".join(["set -euo pipefail", *blocks])
    script = script.replace("http://localhost:8000", f"http://127.0.0.1:{product.port}")
    done = subprocess.run(
        ["bash", "-c", script.replace(".venv/bin/python", sys.executable)],
        cwd=ROOT,
        env={name: value for name, value in product.env.items() if name != "PORT"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_command_of_the_guide_succeeds(followed: str) -> None:
    assert '"name":"Second Ltd"' in followed


def test_the_mistake_that_it_shows_is_refused_by_its_field(followed: str) -> None:
    first = json.JSONDecoder().raw_decode(followed)[0]
    assert first["error"]["field"] == "credential"
    assert "a key of ours" not in followed


def test_the_call_is_paid_for_by_the_new_organization(product: Run, followed: str) -> None:
    report = read_report(product, "second")
    assert report["total"]["calls"] == 1
    assert report["lines"][0]["model"] == "house-model"
    assert report["total"]["cost_ticks"] > 0
    assert read_report(product, "demo")["total"]["calls"] == 0


def test_it_all_went_by_the_api_and_the_audit_has_it(product: Run, followed: str) -> None:
    ways = dict(
        read_rows(
            product,
            "SELECT object_kind, string_agg(DISTINCT via, ',') FROM audit_event"
            " WHERE actor LIKE 'management key %%' GROUP BY object_kind",
        )
    )
    assert set(ways.values()) == {"api"}
    assert {"provider", "model", "route", "price", "organization", "project"} <= ways.keys()
    assert {"membership", "quota", "quota_raise", "api_key", "credential"} <= ways.keys()


def test_a_key_of_either_kind_opens_its_own_door_alone(product: Run, followed: str) -> None:
    management = product.manage("issue_management_key", "--name=door", "--plain").stdout.strip()
    assert ask(product, "/v1/models", management) == 401
    assert ask(product, "/api/v1/organizations", management) == 200
    assert ask(product, "/api/v1/organizations", product.read_demo()["DEMO_KEY"]) == 401


def ask(product: Run, path: str, key: str) -> int:
    request = Request(
        f"http://127.0.0.1:{product.port}{path}", headers={"Authorization": f"Bearer {key}"}
    )
    try:
        with urlopen(request, timeout=10) as answer:
            status: int = answer.status
    except OSError as error:
        found: Any = error
        status = int(found.code)
    return status
