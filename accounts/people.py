"""People are shut out of the installation and let in again here, by operators.

A person is deactivated at once and everywhere: sessions end, the keys that they own and the
management keys that they made are refused. Memberships stay, so that all works again as it was
when they are reactivated; what is to live on meanwhile is handed over (leaving.py).
"""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from django.db import transaction

from accounts.changes import wait_for_turn
from accounts.errors import InvalidField, LastOperator
from accounts.leaving import FORGOTTEN_DOMAIN, end_sessions
from accounts.models import User


def deactivate(user: User) -> bool:
    """Shut a person out; return False if that was done before. Raises LastOperator."""
    with transaction.atomic():
        wait_for_turn()
        require_another_operator(user)
        ended = User.objects.filter(pk=user.pk, is_active=True).update(is_active=False)
        end_sessions(user)
    user.refresh_from_db()
    return ended == 1


def require_another_operator(user: User) -> None:
    """Raise LastOperator where nobody else could look after the installation."""
    others = User.objects.filter(is_staff=True, is_active=True).exclude(pk=user.pk)
    if user.is_staff and not others.exists():
        raise LastOperator("This is the only operator: make somebody else one first.")


def reactivate(user: User) -> bool:
    """Let a person in again; return False if nobody was shut out. Raises InvalidField for one who
    was forgotten with an organization."""
    if user.email.endswith(FORGOTTEN_DOMAIN):
        raise InvalidField("user", "was forgotten, which is final")
    restored = User.objects.filter(pk=user.pk, is_active=False).update(is_active=True)
    user.refresh_from_db()
    return restored == 1


def remove_second_factors(user: User) -> int:
    """Take away what a person lost, so that they can set up another; return how many there were."""
    removed: int = Authenticator.objects.filter(user=user).delete()[0]
    return removed
