"""What a page can do the API can do, through the same function.

Every view of the console that takes a form, and every button of the admin, stands here with the
operation of the API that does the same and the function that both call, or with the reason why
there is none.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.test import RequestFactory
from django.urls import URLPattern, get_resolver

from accounts.models import User
from tests.api.test_schema import operations, views
from tests.console.test_roles import OTHERS, addresses

ONE = "/organizations/{organization}"
KEY = f"{ONE}/keys/{{key}}"
# The console's views by name: what does the same, and the function that both call.
CONSOLE = {
    "new_organization": ("POST /organizations", "found_organization"),
    "settings": (f"PATCH {ONE}", "change_organization"),
    "leave": (f"POST {ONE}/leave", "remove_member"),
    "invitation": ("POST /invitations/accept", "accept_invitation"),
    "invite": (f"POST {ONE}/invitations", "invite"),
    "take_back": (f"DELETE {ONE}/invitations/{{invitation}}", "revoke_invitation"),
    "role": (f"PATCH {ONE}/members/{{member}}", "change_role"),
    "remove": (f"DELETE {ONE}/members/{{member}}", "remove_member"),
    "projects": (f"POST {ONE}/projects", "make_project"),
    "project": (f"PATCH {ONE}/projects/{{project}}", "rename_project"),
    "archive": (f"POST {ONE}/projects/{{project}}/archive", "archive_project"),
    "unarchive": (f"POST {ONE}/projects/{{project}}/unarchive", "unarchive_project"),
    "new_key": (f"POST {ONE}/keys", "issue_key"),
    "change_key": (f"PATCH {KEY}", "change_key"),
    "rotate_key": (f"POST {KEY}/rotate", "rotate_key"),
    "disable_key": (f"POST {KEY}/disable", "disable_key"),
    "enable_key": (f"POST {KEY}/enable", "enable_key"),
    "revoke_key": (f"POST {KEY}/revoke", "revoke_key"),
    "new_limit": (f"POST {ONE}/quotas", "set_quota"),
    "change_limit": (f"PATCH {ONE}/quotas/{{quota}}", "set_quota"),
    "end_limit": (f"DELETE {ONE}/quotas/{{quota}}", "end_quota"),
    "limit": (f"POST {ONE}/quotas/{{quota}}/raise-requests", "ask_for_more"),
    "approve": (f"POST {ONE}/raise-requests/{{raise_request}}/approve", "approve"),
    "decline": (f"POST {ONE}/raise-requests/{{raise_request}}/decline", "decline"),
}
IN_PERSON = "one's own password, address, second factor and sessions are changed in person"


PROVIDER = "/providers/{provider}"
QUOTA = f"{ONE}/quotas/{{quota}}"
# The admin's buttons: of a page of rows (add, change, delete), of rows that were selected, and of
# pages of its own. An operation does the same, or there is a reason.
ADMIN = {
    "Organization.add": "POST /organizations",
    "Organization.change": f"PATCH {ONE}",
    "Organization.suspend": f"POST {ONE}/suspend",
    "Organization.resume": f"POST {ONE}/resume",
    "Organization.delete_for_good": f"DELETE {ONE}",
    "Project.add": f"POST {ONE}/projects",
    "Project.change": f"PATCH {ONE}/projects/{{project}}",
    "Project.archive": f"POST {ONE}/projects/{{project}}/archive",
    "Project.unarchive": f"POST {ONE}/projects/{{project}}/unarchive",
    "Membership.add": f"POST {ONE}/members",
    "Membership.change": f"PATCH {ONE}/members/{{member}}",
    "Membership.remove": f"DELETE {ONE}/members/{{member}}",
    "Invitation.add": f"POST {ONE}/invitations",
    "Invitation.take_back": f"DELETE {ONE}/invitations/{{invitation}}",
    "User.change": "PATCH /users/{user}",
    "User.deactivate": "POST /users/{user}/deactivate",
    "User.reactivate": "POST /users/{user}/reactivate",
    "User.log_out": "POST /users/{user}/log-out",
    "User.remove_second_factors": "POST /users/{user}/remove-second-factors",
    "ApiKey.add": f"POST {ONE}/keys",
    "ApiKey.change": f"PATCH {KEY}",
    "ApiKey.revoke": f"POST {KEY}/revoke",
    "ApiKey.disable": f"POST {KEY}/disable",
    "ApiKey.enable": f"POST {KEY}/enable",
    "ApiKey.make_service_keys": f"POST {ONE}/keys/hand-over",
    "ApiKey.rotate": f"POST {KEY}/rotate",
    "ManagementKey.add": "POST /management-keys",
    "ManagementKey.revoke": "POST /management-keys/{management_key}/revoke",
    "Provider.add": "POST /providers",
    "Provider.change": f"PATCH {PROVIDER}",
    "Provider.delete": f"DELETE {PROVIDER}",
    "Provider.delete_selected": f"DELETE {PROVIDER}",
    "Provider.test": f"POST {PROVIDER}/test",
    "Model.add": "POST /models",
    "Model.change": "PATCH /models/{model}",
    "Model.delete": "DELETE /models/{model}",
    "Model.delete_selected": "DELETE /models/{model}",
    "Route.add": "POST /routes",
    "Route.change": "PATCH /routes/{route}",
    "Route.delete": "DELETE /routes/{route}",
    "Route.delete_selected": "DELETE /routes/{route}",
    "RouteSuspension.acknowledge": "POST /route-suspensions/{suspension}/acknowledge",
    "Price.add": "POST /prices",
    "Quota.add": f"POST {ONE}/quotas",
    "Quota.change": f"PATCH {QUOTA}",
    "Quota.end": f"DELETE {QUOTA}",
    "QuotaRaise.add": f"POST {QUOTA}/raises",
    "QuotaRaise.end": f"DELETE {QUOTA}/raises/{{quota_raise}}",
    "RaiseRequest.approve": f"POST {ONE}/raise-requests/{{raise_request}}/approve",
    "RaiseRequest.decline": f"POST {ONE}/raise-requests/{{raise_request}}/decline",
    "check_ledger": "POST /health/check-ledger",
}
PEOPLE_COME = "people come by invitation or as members; operators by the admin or createsuperuser"
GIVEN_IN_PERSON = "what an operator may do is given in person"
NOT_BY_API = {
    "User.add": PEOPLE_COME,
    "User.password_change": "a password is its owner's; an operator sets one in person",
    "User.delete": "whoever left a trace cannot be deleted, and is deactivated",
    "User.delete_selected": "whoever left a trace cannot be deleted, and is deactivated",
    **dict.fromkeys(
        ("Group.add", "Group.change", "Group.delete", "Group.delete_selected"), GIVEN_IN_PERSON
    ),
}
# Pages of the admin that are one's own, or lead there.
OWN_PAGES = {"index", "login", "logout", "password_change", "password_change_done", "autocomplete"}
OWN_PAGES |= {"jsi18n", "view_on_site", "app_list", "health", "usage"}


def test_every_form_of_the_console_has_an_operation() -> None:
    forms = {name for name, pattern in addresses() if is_form(pattern)}
    assert len(forms) > 20
    others = {name for name in forms if name.startswith(OTHERS)}
    assert forms - others == set(CONSOLE), IN_PERSON


@pytest.mark.parametrize("name", CONSOLE)
def test_a_form_and_its_operation_call_one_function(name: str) -> None:
    operation, function = CONSOLE[name]
    method, _, path = operation.partition(" ")
    page = next(pattern.callback for each, pattern in addresses() if each == name)
    view = api_views()[path]
    assert hasattr(view, method.lower())
    parts = [each for each in view.__mro__ if each.__module__ == view.__module__]
    assert re.search(rf"\b{function}\(", "".join(map(inspect.getsource, parts)))
    assert function_of(page, function) is function_of(view, function)


def test_every_button_of_the_admin_has_an_operation_or_a_reason() -> None:
    assert set(buttons()) == ADMIN.keys() | NOT_BY_API.keys()
    assert ADMIN.keys() & NOT_BY_API.keys() == set()
    assert set(ADMIN.values()) <= set(operations())


def is_form(pattern: URLPattern) -> bool:
    """Say whether a view, or a function that it leaves a request to, takes what was posted."""
    return "POST" in inspect.getsource(pattern.callback)


def function_of(view: Any, name: str) -> Any:
    """Return what a view's module calls by a name, whether it imports it or the module of it."""
    module = sys.modules[inspect.unwrap(view).__module__]
    text = inspect.getsource(module)
    found = re.search(rf"\b(?:(\w+)\.)?{name}\(", text)
    assert found, f"{module.__name__} does not call {name}()"
    return getattr(getattr(module, found[1]) if found[1] else module, name)


def api_views() -> dict[str, Any]:
    return {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route).removeprefix("api/v1"): view
        for route, view in views(get_resolver().url_patterns)
    }


def buttons() -> Iterator[str]:
    """Everything that an operator who may do everything can press in the admin."""
    request = RequestFactory().get("/")
    request.user = User(is_staff=True, is_superuser=True, is_active=True)
    for model, page in admin.site._registry.items():
        name = model.__name__
        for what in ("add", "change", "delete"):
            if getattr(page, f"has_{what}_permission")(request):
                yield f"{name}.{what}"
        yield from (f"{name}.{action}" for action in page.get_actions(request))
        label = f"{model._meta.app_label}_{model._meta.model_name}"
        usual = {f"{label}_{each}" for each in ("add", "change", "delete", "history", "changelist")}
        for pattern in page.get_urls():
            if pattern.name and pattern.name not in usual:
                yield f"{name}.{pattern.name.removeprefix(f'{label}_').removeprefix('auth_user_')}"
    for each in admin.site.get_urls():
        if isinstance(each, URLPattern) and each.name and each.name not in OWN_PAGES:
            yield each.name
