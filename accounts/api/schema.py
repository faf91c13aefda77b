"""How the views are described as OpenAPI: what drf-spectacular cannot see from a view alone.

Every operation may answer with an error in the one shape; whatever changes one object takes
If-Match. The description is made once a process, as it takes longer than any request here.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The ETag that was read: 412 where the object has changed since.",
)
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "field", "request_id"],
            "properties": {
                "code": {"type": "string", "description": "Stable, for programs."},
                "message": {"type": "string", "description": "For people."},
                "field": {"type": "string", "nullable": True, "description": "What to correct."},
                "request_id": {"type": "string", "description": "Also `x-request-id`."},
            },
        }
    },
}
MEANINGS = {
    "4XX": "Not done: 400 what was sent, 401 who asks, 403 their role, 404 unseen or not there, "
    "409 what is there already, 412 it has changed since, 429 too much at once.",
    "5XX": "Not done: 503 says that trying again later can help.",
}


class Schema(AutoSchema):
    def get_tags(self) -> list[str]:
        """Return the noun of the address: /organizations/{organization}/keys/{key} is of keys."""
        path = self.path.removeprefix("/api/v1/")
        nouns = [part for part in path.split("/") if not part.startswith("{")]
        is_inside = nouns[0] == "organizations" and len(nouns) > 1
        return [nouns[1] if is_inside and not self._changes_one(nouns[1]) else nouns[0]]

    def get_operation_id(self) -> str:
        """Return verb and nouns of the address, such as `list_organizations_keys`."""
        parts = self.path.removeprefix("/api/v1/").replace("-", "_").split("/")
        nouns = [part for part in parts if not part.startswith("{")]
        if self._changes_one():
            return "_".join([nouns[-1], *nouns[:-1]])
        reads = "read" if parts[-1].startswith("{") else "list"
        verbs = {"GET": reads, "POST": "make", "PATCH": "change", "DELETE": "end"}
        return "_".join([verbs[self.method], *nouns])

    def get_override_parameters(self) -> list[Any]:
        return [IF_MATCH] if self.method in {"PATCH", "DELETE"} or self._changes_one() else []

    def _changes_one(self, last: str | None = None) -> bool:
        """Say whether this is a change of one object, and its verb `last` if that is given."""
        changes = self.method == "POST" and bool(getattr(self.view, "changes_one", False))
        return changes and (last is None or self.path.endswith(f"}}/{last}"))


def add_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Let every operation answer with an error (drf-spectacular asks this at the end)."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for path in result["paths"].values():
        for operation in path.values():
            for status, description in MEANINGS.items():
                operation["responses"][status] = {"description": description, "content": content}
    return result


@cache
def describe_api() -> bytes:
    """Return the whole API as OpenAPI, in JSON."""
    found = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return json.dumps(found, indent=1).encode()
