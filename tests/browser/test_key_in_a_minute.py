"""From nothing to a call, against a limit, past it, and to the end of the key."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.visit import Visit


def test_from_signing_up_to_a_revoked_key(visit: Callable[..., Visit]) -> None:
    olga = visit()
    olga.sign_up()
    organization = olga.make_organization("Olga's Tools")
    secret = olga.make_key(organization, "laptop")

    assert olga.find_barriers() == []
    curl = olga.page.locator("#snippet-curl").text_content()
    assert curl
    assert wait_for_status(olga, secret, 200)
    status, answer = olga.run(f"{curl} -s -w '\\n%{{http_code}}'")
    assert (status, answer["object"]) == (200, "chat.completion")

    olga.press("Make a test call")
    expect(olga.page.locator(".answer")).to_contain_text("Hello from the demo provider")

    olga.press("I have kept it; show the key")
    key = olga.page.url
    olga.see("answered")  # By itself, seconds after the call.

    olga.press("Set a limit")
    olga.page.locator("[name=unit]").select_option("requests")
    olga.page.locator("[name=window]").select_option("day")
    olga.fill(limit="1")
    olga.press("Set the limit")
    olga.see("Set. Gateways hold to it within a second.")
    assert wait_for_status(olga, secret, 429)
    _, refused = olga.call(secret)
    error = refused["error"]
    assert isinstance(error, dict)

    assert error["quota"]["ask_at"] in error["message"]
    olga.page.goto(error["quota"]["ask_at"])
    olga.see("1 of 1")  # Why: what it allows, and that all of it is used.
    olga.see("calls are refused")
    assert olga.find_barriers() == []
    olga.fill(amount="100", reason="More of the same")
    olga.press("Ask")
    olga.see("Asked.")
    olga.see("More of the same")
    olga.press(f"Answer {olga.email}")
    assert olga.find_barriers() == []
    olga.press("Raise the limit")
    olga.see("Approved.")
    assert wait_for_status(olga, secret, 200)

    olga.page.goto(key)
    olga.press("Rotate")
    olga.page.locator("[name=grace]").select_option("0")
    olga.press("Make a new secret")
    newer = olga.read_secret()
    assert wait_for_status(olga, secret, 401)
    assert olga.call(newer)[0] == 200

    olga.page.goto(key)
    olga.press("Revoke")
    olga.fill(reason="The laptop was lost")
    olga.press("Revoke for good")
    olga.see("The laptop was lost")
    olga.see("The last calls that were accepted")
    assert wait_for_status(olga, newer, 401)


def wait_for_status(person: Visit, secret: str, wanted: int) -> bool:
    """What was set is known to gateways within a second; a machine under load takes longer."""
    for _ in range(40):
        if person.call(secret)[0] == wanted:
            return True
        person.page.wait_for_timeout(250)
    return False
