"""A real Chromium against a whole run of the product. Each test has browsers of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.visit import Visit
from tests.console.identity import (
    CLIENT_ID,
    CLIENT_SECRET,
    IdentityProvider,
    run_identity_provider,
)
from tests.local.running import Run
from tests.product import run_product

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def identity_provider() -> Iterator[IdentityProvider]:
    with run_identity_provider() as running:
        yield running


@pytest.fixture(scope="session")
def product(identity_provider: IdentityProvider) -> Iterator[Run]:
    """A run in which people may sign in by an identity provider as well."""
    with run_product(
        OIDC_ISSUER=identity_provider.issuer,
        OIDC_CLIENT_ID=CLIENT_ID,
        OIDC_CLIENT_SECRET=CLIENT_SECRET,
        OIDC_NAME="Acme's sign-on",
    ) as run:
        yield run


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert path, "There is no Chromium here: `make browser` installs it, or says how to."
    with sync_playwright() as playwright:
        # Without its sandbox, because root, as in a container, may not have one.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(product: Run, chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """Open the console in a fresh browser; whatever the policy blocked fails the test."""
    visits: list[Visit] = []

    def begin(**options: object) -> Visit:
        context = chromium.new_context(**options)  # type: ignore[arg-type]
        visits.append(Visit(context.new_page(), product))
        return visits[-1]

    yield begin
    complaints = [complaint for each in visits for complaint in each.complaints]
    for each in visits:
        each.page.context.close()
    assert complaints == []


@pytest.fixture
def page(visit: Callable[..., Visit]) -> Page:
    return visit().page
