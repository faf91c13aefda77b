"""An organization with people, sessions and keys of every kind, at a served product."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2

from tests.faults.load import Ask
from tests.parts import Gateway, Parts

CSRF = "c" * 32
MAKE_SESSIONS = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from accounts.models import User
for email in {emails!r}:
    user = User.objects.get(email=email)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "accounts.login.PasswordBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    print("session", session.session_key)
"""


class Api:
    """The management API over a socket, for a session or a management key."""

    def __init__(self, gateway: Gateway, *, session: str = "", key: str = "") -> None:
        cookies = {"sessionid": session, "csrftoken": CSRF} if session else {}
        headers = {"authorization": f"Bearer {key}"} if key else {"x-csrftoken": CSRF}
        base_url = f"{gateway.url}/api/v1"
        self._client = httpx2.Client(
            base_url=base_url, cookies=cookies, headers=headers, timeout=30
        )

    def ask(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        return self._client.request(method, path, content=content, headers=headers)

    def get(self, path: str) -> httpx2.Response:
        return self._client.get(path)

    def post(self, path: str, body: Any = None) -> httpx2.Response:
        return self.ask("POST", path, {} if body is None else body)

    def made(self, path: str, body: Any) -> dict[str, Any]:
        """Post, and return what was made."""
        answer = self.post(path, body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found


@dataclass
class Place:
    """One organization; `owner` and `dev` ask with sessions, `program` with a key dev made."""

    slug: str
    operator: Api
    owner: Api
    dev: Api
    members: dict[str, int]
    keys: dict[str, str]
    key_ids: dict[str, str]

    @property
    def path(self) -> str:
        return f"/organizations/{self.slug}"


def make_place(parts: Parts, gateway: Gateway, operator: Api, slug: str) -> Place:
    """Make it through the API, as an operator would."""
    path = f"/organizations/{slug}"
    operator.made("/organizations", {"slug": slug, "name": slug.title()})
    operator.made(f"{path}/projects", {"slug": "default", "name": "Default"})
    roles = {"owner": "owner", "dev": "admin"}
    emails = [f"{name}@{slug}.example" for name in roles]
    members = {
        name: operator.made(f"{path}/members", {"email": email, "role": role})["id"]
        for (name, role), email in zip(roles.items(), emails, strict=True)
    }
    sessions = make_sessions(parts, emails)
    owners = {"service": None, "own": members["dev"], "kept": members["dev"]}
    keys, key_ids = {}, {}
    for name, owner in owners.items():
        made = operator.made(f"{path}/keys", {"project": "default", "name": name, "owner": owner})
        keys[name], key_ids[name] = made["secret"], made["id"]
    for secret in keys.values():  # The gateway learns them in a moment.
        parts.until(partial(knows, gateway, secret))
    owner, dev = (Api(gateway, session=session) for session in sessions)
    return Place(slug, operator, owner, dev, members, keys, key_ids)


def knows(gateway: Gateway, key: str) -> bool:
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.get(f"{gateway.url}/v1/api-key", headers=headers).status_code == 200


def make_sessions(parts: Parts, emails: Sequence[str]) -> list[str]:
    """Log people in, and return their cookies."""
    printed = parts.manage("shell", "-v", "0", "-c", MAKE_SESSIONS.format(emails=list(emails)))
    return [line.split()[1] for line in printed.splitlines() if line.startswith("session ")]


def call(gateway: Gateway, key: str, ask: Ask) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.post(
        f"{gateway.url}/v1/chat/completions", json=ask.body(), headers=headers, timeout=30
    )


def until_refused(parts: Parts, gateway: Gateway, key: str, ask: Ask) -> httpx2.Response:
    """Call until it is refused, and return the refusal. A second is promised, which tests/faults/
    holds it to; this machine may have other work."""
    answers: list[httpx2.Response] = []

    def is_refused() -> bool:
        answers.append(call(gateway, key, ask))
        return answers[-1].status_code != 200

    parts.until(is_refused)
    return answers[-1]
