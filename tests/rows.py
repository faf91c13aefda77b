"""One row at least in every table that people change, for tests that walk over all of them."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group, Permission
from django.utils import timezone

from accounts.invitations import invite
from accounts.issuance import issue_key
from accounts.management_keys import issue_management_key
from accounts.models import Membership, Project
from billing.models import Price, Quota, QuotaRaise, RaiseRequest, RouteSuspension
from billing.usage import new_id
from tests.gateway.catalogs import add_model, add_provider, add_route


def make_everything(project: Project) -> list[str]:
    """Make the rows; return the texts that no log and no page may hold."""
    alice = Membership.objects.select_related("user").get(role="owner").user
    member = Membership.objects.get(role="member")
    key = issue_key(project=project, name="ci", owner=member)
    group = Group.objects.create(name="support")
    permission = Permission.objects.earliest("pk")
    group.permissions.add(permission)
    alice.groups.add(group)
    alice.user_permissions.add(permission)
    managing = issue_management_key(
        organization=project.organization, name="terraform", scope="write", made_by=alice
    )
    invitation, token = invite(
        project.organization, email="dave@example.org", role="member", invited_by=alice
    )
    provider = add_provider("openai")
    add_route(add_model("gpt-4o"), provider)
    Price.objects.create(model="gpt-4o", effective_from=timezone.now(), input=1, output=1)
    quota = Quota.objects.create(
        organization=project.organization_id, scope="project", scope_id=project.pk, unit="cost"
    )
    QuotaRaise.objects.create(
        organization=quota.organization, quota=quota, amount=1, ends_at=timezone.now()
    )
    RaiseRequest.objects.create(
        organization=quota.organization, quota=quota, member=member.pk, amount=1, reason="x"
    )
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    Authenticator.objects.create(user=alice, type="totp", data={"secret": "TOTPCANARY"})
    SocialAccount.objects.create(
        user=alice, provider="oidc", uid="1", extra_data={"sub": "OIDCCANARY"}
    )
    suspended = {"model": "gpt-4o", "provider": "openai", "upstream_model": "gpt-4o"}
    RouteSuspension.objects.create(**suspended, event_id=new_id(), held_ticks=1, cost_ticks=2)
    credential = provider.credentials.get()
    binary = (key.key.secrets.get().mac, managing.key.mac, invitation.digest, credential.sealed)
    return [
        key.plaintext,
        managing.plaintext,
        token,
        "secret of openai",
        *("TOTPCANARY", "OIDCCANARY"),
        alice.password,
        *(shown for each in binary for shown in (bytes(each).hex(), repr(bytes(each))[2:-1])),
    ]
