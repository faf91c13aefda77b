"""/v1/organization/audit_logs: who changed what, in OpenAI's shape and by its names of events.

What OpenAI has no name for is called by its own: `api_key_secret.created`. A quota is a
`rate_limit`, a membership a `user`, an archived project `project.archived`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet

from accounts.access import Right
from accounts.models import AuditEvent, Project, User
from gateway.endpoints.organization.asking import LAST_SECOND, Asked, seconds_of
from gateway.errors import BadRequest

COMPARED = {"gt": "at__gt", "gte": "at__gte", "lt": "at__lt", "lte": "at__lte"}
LISTS = ("project_ids", "event_types", "actor_ids", "actor_emails", "resource_ids")
MANAGEMENT_KEY = "management key "
PLAIN = {"insert": "created", "update": "updated", "delete": "deleted"}
# OpenAI's words for our tables; others are called by their own.
NOUNS = {
    "invitation": "invite",
    "membership": "user",
    "quota": "rate_limit",
    "management_key": "tenant.admin_api_key",
}
# What an update is besides an update, by the column that says so.
ENDS = {
    "api_key": ("revoked_at", "deleted"),
    "management_key": ("revoked_at", "deleted"),
    "project": ("archived_at", "archived"),
    "membership": ("left_at", "deleted"),
    "quota": ("ends_at", "deleted"),
}
SPECIAL = {("invitation", "insert"): "sent", ("membership", "insert"): "added"}


def list_logs(asked: Asked) -> dict[str, Any]:
    """Return what changed in the organization, the newest first, after or before a log's id."""
    asked.require(Right.SEE_AUDIT)
    times = [f"effective_at[{each}]" for each in COMPARED]
    asked.know("limit", "after", "before", "tenant_only", *times, *LISTS)
    limit = asked.number("limit", least=1, most=100, default=20)
    assert limit is not None
    found = filter_logs(asked, AuditEvent.objects.filter(organization=asked.organization.pk))
    after, before = read_place(asked, "after"), read_place(asked, "before")
    if after is not None:
        found = found.filter(pk__lt=after)
    if before is not None:
        found = found.filter(pk__gt=before)
    # From `before` on the page is the one that ends there: the oldest of what is newer.
    backwards = before is not None and after is None
    rows = list(found.order_by("pk" if backwards else "-pk")[: limit + 1])
    page = rows[:limit][::-1] if backwards else rows[:limit]
    shown = show_logs(asked, page)
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(rows) > limit,
    }


def filter_logs(asked: Asked, logs: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    if asked.flag("tenant_only"):
        raise BadRequest("'tenant_only' is not a matter of this service.", "tenant_only")
    for name, column in COMPARED.items():
        seconds = asked.number(f"effective_at[{name}]", least=0, most=LAST_SECOND, default=None)
        if seconds is not None:
            logs = logs.filter(**{column: datetime.fromtimestamp(seconds, UTC)})
    if (types := asked.values("event_types")) is not None:
        logs = logs.filter(any_of(_is_of_type(each) for each in types))
    if (slugs := asked.values("project_ids")) is not None:
        ids = list(_projects(asked).filter(slug__in=slugs).values_list("pk", flat=True))
        logs = logs.filter(_of("project_id", ids) | Q(object_kind="project", object_id__in=ids))
    if (emails := asked.values("actor_emails")) is not None:
        logs = logs.filter(actor__in=[email.lower() for email in emails])
    if (ids_of_actors := asked.values("actor_ids")) is not None:
        users = User.objects.filter(pk__in=[each for each in ids_of_actors if _is_number(each)])
        keys = [f"{MANAGEMENT_KEY}{each}" for each in ids_of_actors]
        logs = logs.filter(actor__in=[*keys, *users.values_list("email", flat=True)])
    if (names := asked.values("resource_ids")) is not None:
        numbers = [int(each) for each in names if _is_number(each)]
        unnamed = Q(object_id__in=numbers) & ~Q(object_kind__in=["api_key", "project"])
        logs = logs.filter(unnamed | _of("public_id", names) | _of("slug", names))
    return logs


def any_of(conditions: Any) -> Q:
    """Return what holds where one of them does; nothing holds where there is none."""
    found = Q(pk__in=[])
    for each in conditions:
        found |= each
    return found


def read_place(asked: Asked, name: str) -> int | None:
    value = asked.text(name)
    if value is not None and not _is_number(value):
        raise BadRequest(f"'{name}' names nothing here: '{value[:100]}'.", name)
    return None if value is None else int(value)


def show_logs(asked: Asked, logs: Sequence[AuditEvent]) -> list[dict[str, Any]]:
    users = User.objects.filter(email__in={each.actor for each in logs})
    numbers = {user.email: str(user.pk) for user in users}
    projects = {each.pk: each for each in _projects(asked)}
    return [_show(each, numbers, projects) for each in logs]


def _show(
    log: AuditEvent, numbers: Mapping[str, str], projects: Mapping[int, Project]
) -> dict[str, Any]:
    row = log.after or log.before or {}
    type_ = name_type(log)
    shown: dict[str, Any] = {
        "id": str(log.pk),
        "type": type_,
        "effective_at": seconds_of(log.at),
        "actor": _show_actor(log, numbers),
    }
    owner = log.object_id if log.object_kind == "project" else row.get("project_id")
    project = projects.get(owner or 0)
    if project is not None:
        shown["project"] = {"id": project.slug, "name": project.name}
    public = row.get("public_id") or (row.get("slug") if log.object_kind == "project" else None)
    shown[type_] = {"id": str(public or log.object_id), **_show_changes(log)}
    return shown


def _show_actor(log: AuditEvent, numbers: Mapping[str, str]) -> dict[str, Any]:
    """A person with a session, or a management key; commands and SQL stand as who they say."""
    if log.actor.startswith(MANAGEMENT_KEY):
        key = {"id": log.actor.removeprefix(MANAGEMENT_KEY), "type": "user"}
        return {"type": "api_key", "api_key": key}
    user = {"id": numbers.get(log.actor, log.actor), "email": log.actor}
    return {"type": "session", "session": {"user": user, "ip_address": log.address}}


def _show_changes(log: AuditEvent) -> dict[str, Any]:
    if log.action == "delete" or log.after is None:
        return {}
    if log.action == "insert":
        return {"data": log.after}
    before = log.before or {}
    changed = {name: value for name, value in log.after.items() if before.get(name) != value}
    return {"changes_requested": changed}


def name_type(log: AuditEvent) -> str:
    """Return OpenAI's name of what happened."""
    noun = NOUNS.get(log.object_kind, log.object_kind)
    if special := SPECIAL.get((log.object_kind, log.action)):
        return f"{noun}.{special}"
    if log.action == "update" and log.after is not None:
        if log.object_kind == "invitation":
            return f"{noun}.{'accepted' if log.after.get('accepted_at') else 'deleted'}"
        column, end = ENDS.get(log.object_kind, ("", ""))
        if column and log.after.get(column):
            return f"{noun}.{end}"
    return f"{noun}.{PLAIN[log.action]}"


def _is_of_type(name: str) -> Q:
    """Return what name_type() calls so: it is asked backwards, and a test holds both together."""
    noun, _, what = name.rpartition(".")
    kind = next((kind for kind, word in NOUNS.items() if word == noun), noun)
    if kind == noun and noun in NOUNS:
        return Q(pk__in=[])
    found = Q(pk__in=[])
    for action, plain in PLAIN.items():
        if SPECIAL.get((kind, action), plain) == what:
            found |= Q(object_kind=kind, action=action)
    updated = Q(object_kind=kind, action="update")
    if kind == "invitation":
        accepted = ~Q(after__accepted_at=None)
        ends = {"accepted": updated & accepted, "deleted": updated & ~accepted}
        return (found & ~updated) | ends.get(what, Q(pk__in=[]))
    if kind in ENDS:
        column, end = ENDS[kind]
        ended = updated & ~Q(**{f"after__{column}": None})
        return (found & ~ended) | (ended if end == what else Q(pk__in=[]))
    return found


def _of(column: str, values: Sequence[object]) -> Q:
    return Q(**{f"after__{column}__in": values}) | Q(**{f"before__{column}__in": values})


def _projects(asked: Asked) -> QuerySet[Project]:
    return Project.objects.filter(organization=asked.organization)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18
