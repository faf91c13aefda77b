"""`manage.py issue_management_key`: the first way into /api/v1."""

from __future__ import annotations

from django.core.management.base import CommandError, CommandParser

from accounts.access import find_standing
from accounts.audit import AuditedCommand
from accounts.errors import InvalidField
from accounts.management.commands.issue_key import parse_expiry
from accounts.management_keys import issue_management_key
from accounts.models import ManagementKey, Organization, User


class Command(AuditedCommand):
    help = "Make a management key, which opens /api/v1 and not /v1. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument(
            "--by", metavar="EMAIL", help="whose rights it has; without it: the only operator"
        )
        parser.add_argument(
            "--organization", metavar="ORG", help="without it: of operators, for everything"
        )
        parser.add_argument("--read-only", action="store_true")
        parser.add_argument("--expires", metavar="WHEN", help="2027-01-31, an ISO time, or 90d")
        parser.add_argument("--plain", action="store_true", help="print the key and nothing else")

    def handle(
        self,
        *_: object,
        name: str,
        by: str | None = None,
        organization: str | None = None,
        read_only: bool = False,
        expires: str | None = None,
        plain: bool = False,
        **__: object,
    ) -> None:
        scope = ManagementKey.Scope.READ if read_only else ManagementKey.Scope.WRITE
        place = find_organization(organization) if organization else None
        try:
            issued = issue_management_key(
                organization=place,
                name=name,
                scope=scope,
                made_by=find_maker(by, place),
                expires_at=parse_expiry(expires) if expires else None,
            )
        except InvalidField as error:
            raise CommandError(str(error)) from error
        told = (
            f"Management key {issued.key.public_id} ({issued.key.name}), which may {scope}. "
            "Keep it now: it is not shown again.\n"
        )
        self.stdout.write(issued.plaintext if plain else told + issued.plaintext)


def find_organization(slug: str) -> Organization:
    found = Organization.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"organization: there is no organization {slug!r}.")
    return found


def find_maker(email: str | None, organization: Organization | None) -> User:
    """Return the person, or the operator where there is exactly one.

    A key can do what its maker can, so whoever can do nothing there makes none.
    """
    active = User.objects.filter(is_active=True)
    if email is not None:
        found = active.filter(email=email.strip().lower()).first()
        if found is None:
            raise CommandError(f"by: there is no active user {email!r}.")
        if not found.is_staff and (organization is None or not find_standing(found, organization)):
            raise CommandError(f"by: {found.email} is {describe(organization)}.")
        return found
    operators = list(active.filter(is_staff=True)[:2])
    if len(operators) != 1:
        raise CommandError("by: name an operator; there is not exactly one.")
    return operators[0]


def describe(organization: Organization | None) -> str:
    return "no operator" if organization is None else f"not in {organization.slug}"
