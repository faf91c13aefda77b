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
}
OUTSIDE = {
    "sign-in": "/accounts/login/",
    "sign-up": "/accounts/signup/",
    "new-password": "/accounts/password/reset/",
    "invitation-over": "/invitations/nothing",
}


def furnish(operator: Visit) -> tuple[str, dict[str, str]]:
    """Fill the demo's organization; return its address and the pages of what is in it."""
    organization = "/o/demo/"
    secret = operator.make_key(organization, LONG)
    for _ in range(3):
        operator.call(secret)
    operator.press("I have kept it; show the key")
    key = operator.page.url.removeprefix(operator.url)
    found = {"key": key, **{f"key-{each}": f"{key}{each}" for each in KEY_PAGES}}
    for unit, limit, window in (("cost", "0.00002", "month"), ("requests", "1000000", "day")):
        operator.go(f"{key}")
        operator.press("Set a limit")
        operator.page.locator("[name=unit]").select_option(unit)
        operator.page.locator("[name=window]").select_option(window)
        operator.fill(limit=limit)
        operator.press("Set the limit")
    operator.page.wait_for_timeout(1500)
    operator.call(secret)
    operator.go(f"{organization}people/invite")
    operator.fill(email="invited@example.org")
    operator.press("Send the invitation")
    operator.go(f"{organization}limits/")
    first = operator.page.get_by_role("main").locator("tbody a").first
    limit_page = first.get_attribute("href") or ""
    found |= {"limit": limit_page, "limit-change": f"{limit_page}change"}
    return organization, found


KEY_PAGES = ("change", "rotate", "revoke")
