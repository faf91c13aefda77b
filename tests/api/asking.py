"""Asks the management API as somebody: with a session, or with a management key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.test import Client

from accounts.management_keys import issue_management_key
from accounts.models import Organization, User

NOTHING_FOUND = {"code": "not_found", "message": "Not found.", "field": None}


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is the JSON, None where there is none."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def etag(self) -> str:
        return self.headers["etag"]

    @property
    def error(self) -> dict[str, Any]:
        """The error without the id of the request, which is another one each time."""
        found: dict[str, Any] = dict(self.body["error"])
        assert found.pop("request_id") == self.headers["x-request-id"]
        return found


class Api:
    """A client below /api/v1/, as nobody unless a person or a management key is given."""

    def __init__(self, user: User | None = None, *, key: str | None = None) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {} if key is None else {"authorization": f"Bearer {key}"}
        if user is not None:
            self.client.force_login(user)

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Answer:
        return self._read(
            self.client.get(f"/api/v1/{path}", query, headers={**self.headers, **(headers or {})})
        )

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.ask("DELETE", path, None, **headers)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Ask with a JSON body; headers are named with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._read(
            self.client.generic(
                method,
                f"/api/v1/{path}",
                b"" if body is None else json.dumps(body),
                content_type="application/json",
                headers={**self.headers, **named},
            )
        )

    def list_all(self, path: str, **query: Any) -> list[Any]:
        """Every item of a list, page by page."""
        items: list[Any] = []
        while True:
            page = self.get(path, **query)
            assert page.status == 200, page
            items += page.body["items"]
            if page.body["next"] is None:
                return items
            query["cursor"] = page.body["next"]

    def _read(self, response: Any) -> Answer:
        body = json.loads(response.content) if response.content else None
        headers = {name.lower(): value for name, value in response.items()}
        return Answer(response.status_code, body, headers)


def key_api(maker: User, organization: Organization | None, *, scope: str = "write") -> Api:
    """The API as a management key of an organization, or of operators."""
    issued = issue_management_key(organization=organization, name="ci", scope=scope, made_by=maker)
    return Api(key=issued.plaintext)
