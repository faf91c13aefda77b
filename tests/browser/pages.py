"""Every page that there is to look at, in an organization that has something of everything."""

from __future__ import annotations

from tests.browser.visit import Visit

LONG = "a name that is much longer than anybody would choose and that somebody chooses all the same"
# By the name of its picture. `{o}` is the organization.
PAGES = {
    "home": "/",
    "new-organization": "/organizations/new",
    "overview": "{o}",
    "keys": "{o}keys/",
    "new-key": "{o}keys/new",
    "limits": "{o}limits/",
    "new-limit": "{o}limits/new",
    "usage": "{o}usage/",
    "projects": "{o}projects/",
    "project": "{o}projects/default/",
    "people": "{o}people/",
    "invite": "{o}people/invite",
    "settings": "{o}settings",
    "leave": "{o}leave",
    "missing": "/o/nothing/",
    "operations": "/operations/",
    "style": "/style",
    "docs-quickstart": "/docs/",
    "docs-authentication": "/docs/authentication",
    "docs-streaming": "/docs/streaming",
    "docs-sdks": "/docs/sdks",
    "docs-errors": "/docs/errors",
    "docs-limits": "/docs/limits",
    "docs-reference": "/docs/reference/",
    "docs-chat": "/docs/reference/chat-completions",
    "docs-messages": "/docs/reference/messages",
    "docs-usage": "/docs/reference/usage-completions",
    "password": "/accounts/password/change/",
    "address": "/accounts/email/",
    "second-factor": "/accounts/2fa/",
    "keys-found": "{o}keys/?q=nothing",
    "usage-year": "{o}usage/?period=365",
    "sessions": "/accounts/sessions/",
    "connections": "/accounts/3rdparty/",
    "authenticator": "/accounts/2fa/totp/activate/",
    "passkeys": "/accounts/2fa/webauthn/",
    "new-passkey": "/accounts/2fa/webauthn/add/",
    "confirm-it-is-you": "/accounts/reauthenticate/",
    "sign-out": "/accounts/logout/",
}
OUTSIDE = {
    "sign-in": "/accounts/login/",
    "sign-up": "/accounts/signup/",
    "new-password": "/accounts/password/reset/",
    "invitation-over": "/invitations/nothing",
    "account-closed": "/accounts/inactive/",
    "letter-sent": "/accounts/confirm-email/",
    "sign-on-failed": "/accounts/3rdparty/login/error/",
    "sign-on-cancelled": "/accounts/3rdparty/login/cancelled/",
}


def furnish(operator: Visit, guest: Visit) -> tuple[str, dict[str, str]]:
    """Make an organization with something of everything, the guest a member of it; return its
    address and the pages of what is in it, which keep their address."""
    organization = operator.make_organization("Whatever People Call Their Company & Daughters Ltd.")
    join(operator, guest, organization)
    secret = operator.make_key(organization, LONG)
    for _ in range(3):
        operator.call(secret)
    operator.press("I have kept it; show the key")
    key = operator.page.url.removeprefix(operator.url)
    found = {"key": key, **{f"key-{each}": f"{key}{each}" for each in KEY_PAGES}}
    limits = (
        ("cost", "0.00002", "month"),
        ("requests", "1000000", "day"),
        ("requests", "4", "minute"),
    )
    for unit, limit, window in limits:
        operator.go(f"{key}")
        operator.press("Set a limit")
        operator.page.locator("[name=unit]").select_option(unit)
        operator.page.locator("[name=window]").select_option(window)
        operator.fill(limit=limit)
        operator.press("Set the limit")
    operator.page.wait_for_timeout(1500)
    for _ in range(2):
        operator.call(secret)
    operator.go(f"{organization}people/invite")
    operator.fill(email="invited@example.org")
    operator.press("Send the invitation")
    limit = find_link(operator, f"{organization}limits/", "Cost a month")
    operator.go(limit)
    operator.fill(amount="25", reason="The evaluation of next week needs more than a demonstration")
    operator.press("Ask")
    people = f"{organization}people/"
    return organization, found | {
        "limit": limit,
        "limit-change": f"{limit}change",
        "limit-end": f"{limit}end",
        "approve": find_link(operator, f"{organization}limits/", f"Answer {operator.login}"),
        "role": find_link(operator, people, f"Change role of {guest.email}"),
        "remove": find_link(operator, people, f"Remove {guest.email}"),
    }


def join(operator: Visit, guest: Visit, organization: str) -> None:
    guest.sign_up()
    operator.go(f"{organization}people/invite")
    operator.fill(email=guest.email)
    operator.press("Send the invitation")
    guest.go(guest.read_letter(r"(/invitations/\S+)"))
    guest.press("Accept the invitation")


def find_link(person: Visit, path: str, name: str) -> str:
    """Return where the link of that name leads to, on that page."""
    person.go(path)
    link = person.page.get_by_role("main").get_by_role("link", name=name, exact=True).first
    return link.get_attribute("href") or ""


KEY_PAGES = ("change", "rotate", "revoke")
