"""`manage.py issue_key`: make a key and print it, the only time it is shown."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from accounts.audit import AuditedCommand
from accounts.errors import InvalidField
from accounts.issuance import IssuedKey, issue_key
from accounts.models import Membership, Project


class Command(AuditedCommand):
    help = "Make an API key and print it. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="ORG/PROJECT")
        parser.add_argument("--name", required=True)
        parser.add_argument("--owner", metavar="EMAIL", help="without it: a service key")
        parser.add_argument("--expires", metavar="WHEN", help="2027-01-31, an ISO time, or 90d")
        parser.add_argument("--plain", action="store_true", help="print the key and nothing else")

    def handle(
        self,
        *_: object,
        project: str,
        name: str,
        owner: str | None = None,
        expires: str | None = None,
        plain: bool = False,
        **__: object,
    ) -> None:
        place = find_project(project)
        try:
            issued = issue_key(
                project=place,
                name=name,
                owner=find_member(place, owner) if owner else None,
                expires_at=parse_expiry(expires) if expires else None,
            )
        except InvalidField as error:
            raise CommandError(str(error)) from error
        self.stdout.write(issued.plaintext if plain else _describe(issued))


def find_project(path: str) -> Project:
    organization, _, slug = path.partition("/")
    try:
        return Project.objects.select_related("organization").get(
            organization__slug=organization, slug=slug
        )
    except Project.DoesNotExist:
        raise CommandError(f"project: there is no project {path!r}; write ORG/PROJECT.") from None


def find_member(project: Project, email: str) -> Membership:
    try:
        return Membership.objects.get(
            organization=project.organization_id, user__email=email.strip().lower(), left_at=None
        )
    except Membership.DoesNotExist:
        raise CommandError(f"owner: {email!r} is not a member of {project.organization}.") from None


def parse_expiry(text: str) -> datetime:
    """Read a number of days such as 90d, a date (its first moment, UTC) or a time."""
    if days := re.fullmatch(r"(\d{1,5})d", text):
        return timezone.now() + timedelta(days=int(days[1]))
    try:
        moment = parse_datetime(text)
        day = parse_date(text)
    except ValueError:
        moment = day = None
    if moment is None and day is not None:
        moment = datetime.combine(day, datetime.min.time())
    if moment is None:
        raise CommandError(f"expires: {text!r} is neither a date, a time nor a number of days.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _describe(issued: IssuedKey) -> str:
    return (
        f"Key {issued.key.public_id} ({issued.key.name}) of {issued.key.project}. "
        f"Keep it now: it is not shown again.\n{issued.plaintext}"
    )
