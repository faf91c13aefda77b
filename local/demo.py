"""The demo of a first start: a login, an organization with a key, and providers that answer.

Everything goes through what the product offers anybody: `apply` and `issue_key`. Running it again
changes nothing unless the seed, the demo provider's address or a real provider's key did. Runs
inside Django, after the migrations.
"""

import hashlib
import io
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from local.folder import DataFolder, write_private
from local.options import list_real_keys

SEED = Path(__file__).with_name("seed.yaml")
PRICES_SINCE = "2026-01-01"
OPERATOR = "operator@example.com"
STAND_INS = {"openai": "demo-openai", "anthropic": "demo-anthropic"}
# A route that somebody declares for the same model goes before the demo provider's at once.
LAST_PRIORITY = 100
ORGANIZATION, PROJECT, KEY_NAME = "demo", "default", "demo"


def declare_demo(folder: DataFolder, *, provider_url: str) -> None:
    """Make what is missing, and keep login and key in demo.env."""
    known = folder.read_secrets()
    if "DEMO_PASSWORD" not in known:
        password = secrets.token_urlsafe(15)
        folder.add_assignments({"DEMO_EMAIL": OPERATOR, "DEMO_PASSWORD": password})
        make_operator(OPERATOR, password)
    apply_declaration(folder.path, compose_declaration(provider_url))
    if not is_usable(known.get("DEMO_KEY", "")):
        folder.add_assignments({"DEMO_KEY": issue_key()})


def compose_declaration(provider_url: str) -> dict[str, Any]:
    """The apply file: real providers where their key is set, the demo provider for the others.

    Beside a real one its route is out of use, also where it was in use before the key came: its
    answers would be taken for the real model's, and charged as such.
    """
    real = list_real_keys()
    vendors: Sequence[Mapping[str, Any]] = yaml.safe_load(SEED.read_text())
    return {
        "providers": [
            *(_declare_stand_in(protocol, provider_url) for protocol in STAND_INS),
            *(_declare_vendor(vendor) for vendor in vendors if vendor["variable"] in real),
        ],
        "models": [
            _declare_model(model, vendor, is_real=vendor["variable"] in real)
            for vendor in vendors
            for model in vendor["models"]
        ],
        "organizations": [
            {"slug": ORGANIZATION, "name": "Demo", "projects": [{"slug": PROJECT}]},
        ],
    }


def apply_declaration(data_dir: Path, declaration: Mapping[str, Any]) -> None:
    """Apply it unless this very declaration, with these credentials, was applied before."""
    from django.core.management import call_command

    credentials = {name: os.environ[name] for name in list_real_keys()}
    whole = json.dumps([declaration, credentials], sort_keys=True)
    digest = hashlib.sha256(whole.encode()).hexdigest()
    memory, file = data_dir / "demo.applied", data_dir / "demo.yaml"
    if memory.exists() and memory.read_text().strip() == digest:
        return
    file.write_text(yaml.safe_dump(declaration, sort_keys=False))
    call_command("apply", str(file), stdout=io.StringIO())
    write_private(memory, digest + "\n")


def make_operator(email: str, password: str) -> None:
    from accounts.models import User

    operator = User.objects.filter(email=email).first()
    if operator is None:
        User.objects.create_superuser(email, password)
    else:  # An earlier start was cut off after it made the login.
        operator.set_password(password)
        operator.save()


def is_usable(plaintext: str) -> bool:
    """False for a key that was never made, or ended since: what is printed has to work."""
    from django.conf import settings

    from accounts.errors import MalformedKey
    from accounts.keys import parse
    from accounts.models import ApiKey

    try:
        found = parse(plaintext, [settings.KEY_PREFIX, *settings.OLD_KEY_PREFIXES])
    except MalformedKey:
        return False
    active = ApiKey.Status.ACTIVE
    return ApiKey.objects.filter(public_id=found.public_id, status=active).exists()


def issue_key() -> str:
    from django.core.management import call_command

    output = io.StringIO()
    project = f"{ORGANIZATION}/{PROJECT}"
    call_command("issue_key", project=project, name=KEY_NAME, plain=True, stdout=output)
    return output.getvalue().strip()


def _declare_stand_in(protocol: str, provider_url: str) -> dict[str, Any]:
    path = "/v1" if protocol == "openai" else ""
    return {
        "name": STAND_INS[protocol],
        "protocol": protocol,
        "base_url": provider_url + path,
        "responses": protocol == "openai",
        "credential": "literal:demo",
    }


def _declare_vendor(vendor: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": vendor["name"],
        "protocol": vendor["protocol"],
        "base_url": vendor["base_url"],
        "credential": f"env:{vendor['variable']}",
        **vendor.get("takes", {}),
    }


def _declare_model(
    model: Mapping[str, Any], vendor: Mapping[str, Any], *, is_real: bool
) -> dict[str, Any]:
    declared = dict(model)
    options = declared.pop("route", {})
    routes = [
        {
            "provider": STAND_INS[vendor["protocol"]],
            "model": model["name"],
            "priority": LAST_PRIORITY,
            "enabled": not is_real,
        }
    ]
    if is_real:
        routes.insert(0, {"provider": vendor["name"], "model": model["name"], **options})
    else:  # The demo provider counts no more than it is sent, and keeps to its caps.
        declared.pop("overhead_tokens", None)
    return {
        **declared,
        "routes": routes,
        "price": {**model["price"], "effective": PRICES_SINCE},
    }
