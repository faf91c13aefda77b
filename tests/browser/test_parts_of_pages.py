"""What changes without a reload: filters, and what is typed into a search. The pages do the same
without JavaScript, by a button."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.visit import Visit
from tests.product import apply


def mark(person: Visit) -> None:
    """Leave something on the page that a reload would take away."""
    person.page.evaluate("window.isSamePage = true")


def is_same_page(person: Visit) -> bool:
    return person.page.evaluate("window.isSamePage === true") is True


def test_what_has_to_be_mended_has_the_focus(visit: Callable[..., Visit]) -> None:
    person = visit()
    person.sign_in_as_operator()
    person.go("/o/demo/keys/new")
    person.fill(name="laptop")
    person.page.get_by_text("Restrict it").click()
    person.fill(tags="no sign")
    person.press("Make the key")
    expect(person.page.locator("[name=tags]")).to_be_focused()


def test_a_period_is_chosen_and_the_figures_follow(visit: Callable[..., Visit]) -> None:
    person = visit()
    person.sign_in_as_operator()
    person.go("/o/demo/usage/")
    mark(person)
    person.page.locator("[name=period]").select_option("today")
    person.page.wait_for_url("**/usage/?period=today*")
    expect(person.page.get_by_role("link", name="Download CSV")).to_have_attribute(
        "href", re.compile("period=today")
    )
    assert is_same_page(person)
    assert person.find_barriers() == []
    person.page.go_back()
    expect(person.page.get_by_role("link", name="Download CSV")).not_to_have_attribute(
        "href", re.compile("period=today")
    )


def test_keys_are_found_as_somebody_types(visit: Callable[..., Visit]) -> None:
    person = visit()
    person.sign_up()
    organization = person.make_organization("Seekers")
    for name in ("laptop", "nightly build"):
        person.make_key(organization, name)
    person.go(f"{organization}keys/")
    mark(person)
    person.fill(q="night")
    main = person.page.get_by_role("main")
    expect(main.get_by_role("link", name="laptop")).to_have_count(0)
    expect(main.get_by_role("link", name="nightly build")).to_be_visible()
    assert is_same_page(person)
    assert person.page.evaluate("document.activeElement.id") == "q"
    person.fill(q="nothing like it")
    person.see("No key is called so")
    expect(person.page.get_by_role("status")).to_have_text("0 keys found")
    assert person.find_barriers() == []


def test_who_was_signed_out_meanwhile_is_led_to_the_door(visit: Callable[..., Visit]) -> None:
    person = visit()
    person.sign_in_as_operator()
    person.go("/o/demo/keys/")
    person.page.context.clear_cookies()
    person.fill(q="x")
    person.page.wait_for_url("**/accounts/login/**")


def test_the_same_is_there_without_javascript(visit: Callable[..., Visit]) -> None:
    person = visit(java_script_enabled=False)
    person.sign_in_as_operator()
    person.go("/o/demo/keys/")
    person.fill(q="nothing like it")
    person.press("Find")
    person.see("No key is called so")
    person.go("/o/demo/usage/")
    person.page.locator("[name=period]").select_option("7")
    person.press("Show")
    assert "period=7" in person.page.url


@pytest.mark.parametrize("endpoint", ["chat.completions", "messages", "responses"])
def test_a_key_of_any_conversation_makes_its_test_call(
    visit: Callable[..., Visit], endpoint: str
) -> None:
    person = visit()
    person.sign_in_as_operator()
    person.go("/o/demo/keys/new")
    person.fill(name=endpoint)
    person.page.get_by_text("Restrict it").click()
    person.page.locator(f"[name=endpoints][value='{endpoint}']").check()
    person.press("Make the key")
    person.press("Make a test call")
    expect(person.page.locator(".answer")).to_contain_text("Hello from the demo provider")


def test_a_test_call_tells_what_came_and_why_it_broke_off(visit: Callable[..., Visit]) -> None:
    person = visit()
    provider = str(person.product.read_running()["PROVIDER_URL"])
    models = {"demo-error-in-stream": "The call broke off: ", "demo-crlf": "Hello from the demo"}
    apply(
        person.product,
        {
            "providers": [
                {
                    "name": "broken",
                    "protocol": "openai",
                    "base_url": f"{provider}/v1",
                    "credential": "literal:sk-x",
                }
            ],
            "models": [
                {
                    "name": f"broken/{name}",
                    "context_window": 100_000,
                    "max_output_tokens": 1000,
                    "routes": [{"provider": "broken", "model": name}],
                    "price": {"input": "1.00", "output": "1.00", "effective": "2026-01-01"},
                }
                for name in models
            ],
        },
    )
    person.sign_in_as_operator()
    person.make_key("/o/demo/", "tester")
    for name, told in models.items():
        person.page.locator("#try-model").select_option(f"broken/{name}")
        person.press("Make a test call")
        expect(person.page.locator(".answer")).to_contain_text(told)
        expect(person.page.get_by_role("button", name="Make a test call")).to_be_enabled()
    expect(person.page.locator(".answer")).not_to_contain_text("broke off")
