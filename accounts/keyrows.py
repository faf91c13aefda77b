"""Keys as they lie in memory: read from the database, kept apart from the rows above them.

An organization, project or membership is held once, whatever the number of its keys, so that a
change of one costs one row. KeyRecord puts a key together with them for the path of a call.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from ipaddress import ip_network
from typing import Any, LiteralString

import msgspec
import psycopg

from accounts.addresses import Network
from accounts.changes import Change

KEYS = """
    SELECT k.id, k.public_id, k.name, k.organization_id, k.project_id, k.owner_id, k.status,
        extract(epoch FROM k.expires_at)::float8, extract(epoch FROM k.made_at)::float8,
        extract(epoch FROM k.changed_at)::float8, k.models, k.endpoints, k.networks::text[], k.tags,
        s.macs, s.pepper_versions, s.ends,
        o.slug, o.status, o.time_zone, o.hang_up, p.slug, p.archived_at,
        m.user_id, m.left_at, u.is_active
    FROM api_key k
    JOIN organization o ON o.id = k.organization_id
    JOIN project p ON p.id = k.project_id
    LEFT JOIN membership m ON m.id = k.owner_id
    LEFT JOIN accounts_user u ON u.id = m.user_id
    LEFT JOIN LATERAL (
        SELECT array_agg(mac) AS macs, array_agg(pepper_version) AS pepper_versions,
            array_agg(extract(epoch FROM ends_at)::float8) AS ends
        FROM api_key_secret WHERE key_id = k.id
    ) s ON true
"""
KEYS_BY_ID = KEYS + "WHERE k.id = ANY(%s)"
ORGANIZATIONS = "SELECT id, slug, status, time_zone, hang_up FROM organization WHERE id = ANY(%s)"
PROJECTS = "SELECT id, slug, archived_at FROM project WHERE id = ANY(%s)"
MEMBERS = """
    SELECT m.id, m.user_id, m.left_at, u.is_active
    FROM membership m JOIN accounts_user u ON u.id = m.user_id WHERE m.id = ANY(%s)
"""

KINDS = frozenset(
    {"api_key", "api_key_secret", "organization", "project", "membership", "accounts_user"}
)
# Most keys have neither; they share these.
NO_NAMES: frozenset[str] = frozenset()
NO_TAGS: dict[str, str] = {}


class Secret(msgspec.Struct, frozen=True, gc=False):
    """One secret of a key: alive until `ends_at` (unix seconds), for ever when that is None."""

    mac: bytes
    pepper_version: int
    ends_at: float | None

    def __repr__(self) -> str:
        return f"Secret(pepper_version={self.pepper_version}, ends_at={self.ends_at})"


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the path of a call needs to know about a key, and nothing else. Times are unix seconds.

    `member` is the owner's membership and `member_user` that person; both None for a service key.
    `refusal` says why every call is refused, as one of errors.REFUSALS, or is None.
    """

    id: int
    public_id: str
    name: str
    organization: int
    organization_slug: str
    project: int
    project_slug: str
    member: int | None
    member_user: int | None
    status: str
    expires_at: float | None
    models: frozenset[str]
    endpoints: frozenset[str]
    networks: tuple[Network, ...]
    tags: dict[str, str]
    secrets: tuple[Secret, ...]
    refusal: str | None
    time_zone: str
    hang_up: str
    made_at: float
    changed_at: float


class Organization(msgspec.Struct, frozen=True, gc=False):
    slug: str
    status: str
    time_zone: str
    hang_up: str


class Project(msgspec.Struct, frozen=True, gc=False):
    slug: str
    archived_at: object


class Member(msgspec.Struct, frozen=True, gc=False):
    user: int
    left_at: object
    is_active: bool


class Key(msgspec.Struct, frozen=True, gc=False):
    """The row of a key alone; KeyRecord adds what stands in the rows above it."""

    id: int
    public_id: str
    name: str
    organization: int
    project: int
    member: int | None
    status: str
    expires_at: float | None
    made_at: float
    changed_at: float
    models: frozenset[str]
    endpoints: frozenset[str]
    networks: tuple[Network, ...]
    tags: dict[str, str]
    secrets: tuple[Secret, ...]


class Shelf:
    """The rows behind the records. Rows above a key are kept once, and only if a key needs them."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self._public_ids: dict[int, str] = {}
        self._organizations: dict[int, Organization] = {}
        self._projects: dict[int, Project] = {}
        self._members: dict[int, Member] = {}

    def describe(self, key: Key) -> KeyRecord:
        organization = self._organizations[key.organization]
        project = self._projects[key.project]
        member = self._members[key.member] if key.member is not None else None
        return KeyRecord(
            **msgspec.structs.asdict(key),
            organization_slug=organization.slug,
            project_slug=project.slug,
            member_user=None if member is None else member.user,
            refusal=_find_refusal(key, organization, project, member),
            time_zone=organization.time_zone,
            hang_up=organization.hang_up,
        )

    def put(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take rows of KEYS in."""
        for row in rows:
            key = _read_key(row)
            self.keys[key.public_id] = key
            self._public_ids[key.id] = key.public_id
            if key.organization not in self._organizations:
                self._organizations[key.organization] = Organization(*row[17:21])
            if key.project not in self._projects:
                self._projects[key.project] = Project(*row[21:23])
            if key.member is not None and key.member not in self._members:
                self._members[key.member] = Member(*row[23:26])

    async def refresh(self, connection: psycopg.AsyncConnection, changes: Sequence[Change]) -> None:
        changed: dict[str, set[int]] = {kind: set() for kind in KINDS}
        for change in changes:
            changed[change.kind].add(change.object_id)
        if numbers := changed["api_key"] | changed["api_key_secret"]:
            rows = await _fetch(connection, KEYS_BY_ID, numbers)
            for number in numbers:
                self.keys.pop(self._public_ids.pop(number, ""), None)
            self.put(rows)
        known = changed["organization"] & self._organizations.keys()
        for number, *row in await _fetch(connection, ORGANIZATIONS, known):
            self._organizations[number] = Organization(*row)
        known = changed["project"] & self._projects.keys()
        for number, *row in await _fetch(connection, PROJECTS, known):
            self._projects[number] = Project(*row)
        people = changed["accounts_user"]
        known = changed["membership"] & self._members.keys()
        if people:
            known |= {number for number, member in self._members.items() if member.user in people}
        for number, *row in await _fetch(connection, MEMBERS, known):
            self._members[number] = Member(*row)

    def find_pepper_versions(self) -> set[int]:
        """Return the versions of all peppers that a secret is digested under."""
        return {secret.pepper_version for key in self.keys.values() for secret in key.secrets}


async def _fetch(
    connection: psycopg.AsyncConnection, query: LiteralString, numbers: Collection[int]
) -> list[tuple[Any, ...]]:
    if not numbers:
        return []
    return await (await connection.execute(query, (list(numbers),), binary=True)).fetchall()


def _read_key(row: tuple[Any, ...]) -> Key:
    status, (models, endpoints, networks, tags, *secrets) = row[6], row[10:17]
    fields: tuple[Any, ...] = (
        *row[:6],
        sys.intern(status),
        *row[7:10],
        frozenset(models) if models else NO_NAMES,
        frozenset(endpoints) if endpoints else NO_NAMES,
        tuple(ip_network(network) for network in networks),
        tags or NO_TAGS,
        tuple(Secret(*secret) for secret in zip(*secrets, strict=True)) if secrets[0] else (),
    )
    return Key(*fields)


def _find_refusal(
    key: Key, organization: Organization, project: Project, member: Member | None
) -> str | None:
    if key.status != "active":
        return "revoked" if key.status == "revoked" else "disabled"
    if organization.status != "active":
        return "organization_suspended"
    if project.archived_at is not None:
        return "project_archived"
    if member is not None and member.left_at is not None:
        return "member_left"
    if member is not None and not member.is_active:
        return "member_deactivated"
    return None
