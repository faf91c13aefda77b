"""No page keeps anybody out: axe finds nothing serious, in either theme, wide or narrow."""

from __future__ import annotations

from collections.abc import Callable

from django.urls import resolve

from tests.browser.pages import KEY_PAGES, OUTSIDE, PAGES, furnish
from tests.browser.visit import Visit
from tests.console.test_roles import RULES

# They lead elsewhere, are files, or are only posted to.
NO_PAGES = {name for name, rule in RULES.items() if rule.get is None}
NO_PAGES |= {"limit_link", "openapi", "usage_csv"}


def test_no_page_has_a_serious_barrier(visit: Callable[..., Visit]) -> None:
    operator, nobody = visit(), visit()
    operator.sign_in_as_operator()
    organization, found = furnish(operator, visit())
    barriers = []
    for path in (PAGES | found).values():
        operator.go(path.format(o=organization))
        barriers += operator.find_barriers()
    assert list_names(PAGES | found | OUTSIDE) >= set(RULES) - NO_PAGES
    for path in OUTSIDE.values():
        nobody.go(path)
        barriers += nobody.find_barriers()
    assert barriers == []


def list_names(pages: dict[str, str]) -> set[str | None]:
    """Return what the console's addresses are called that these pages stand at."""
    paths = (path.format(o="/o/x/").partition("?")[0] for path in pages.values())
    return {resolve(path).url_name for path in paths}


def test_the_dark_theme_and_a_phone_have_none_either(visit: Callable[..., Visit]) -> None:
    phone = visit(color_scheme="dark", viewport={"width": 360, "height": 844})
    phone.sign_in_as_operator()
    barriers = []
    for path in PAGES.values():
        phone.go(path.format(o="/o/demo/"))
        barriers += phone.find_barriers()
        assert not is_too_wide(phone), f"{phone.page.url} has to be scrolled sideways"
    assert barriers == []


def test_names_without_a_gap_make_no_page_of_a_phone_wider(visit: Callable[..., Visit]) -> None:
    phone = visit(viewport={"width": 360, "height": 740})
    phone.sign_in_as_operator()
    organization = phone.make_organization("W" * 100)
    phone.make_key(organization, "W" * 100)
    phone.press("I have kept it; show the key")
    key = phone.page.url.removeprefix(phone.url)
    pages = [organization, f"{organization}keys/", f"{organization}projects/default/", key]
    for path in (*pages, *(f"{key}{each}" for each in KEY_PAGES)):
        phone.go(path)
        assert not is_too_wide(phone), f"{path} has to be scrolled sideways"
        for menu in phone.page.locator("summary").all()[:2]:
            menu.click()
            assert not is_too_wide(phone), f"{path} has a menu that leads outside"


def is_too_wide(person: Visit) -> bool:
    return bool(person.page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_a_keyboard_reaches_what_a_mouse_does(visit: Callable[..., Visit]) -> None:
    person = visit()
    person.sign_in_as_operator()
    person.go("/o/demo/keys/")
    person.page.keyboard.press("Tab")
    person.page.keyboard.press("Enter")  # Skip to the page.
    person.page.keyboard.press("Tab")
    assert person.page.evaluate("document.activeElement.textContent").strip() == "New key"
    person.page.keyboard.press("Enter")
    person.see("Its secret is shown once, on the next page.")
