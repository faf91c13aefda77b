"""Pages behind a proxy at which TLS ends: forms work, and whoever comes by http is sent on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest

from tests.outside.conftest import PASSWORD
from tests.parts import Gateway, Parts, Servers, run_parts

ORIGIN = "https://ai.example.com"
LOGIN = "/accounts/login/"
# What the proxy adds to a request that came to it over https.
PROXY = {"host": "ai.example.com", "x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}


@pytest.fixture(scope="module")
def parts(servers: Servers) -> Iterator[Parts]:
    with run_parts(servers) as started:
        started.env |= {"PUBLIC_URL": ORIGIN, "TRUSTED_PROXIES": "127.0.0.0/8"}
        yield started


@pytest.fixture(scope="module")
def gateway(parts: Parts) -> Gateway:
    return parts.serve()


def sign_in(gateway: Gateway, email: str, *, origin: str) -> httpx2.Response:
    """Fill in the form as a browser does behind the proxy."""
    with httpx2.Client(base_url=gateway.url, headers=PROXY) as browser:
        page = browser.get(LOGIN)
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[0]
        # The client keeps no secure cookie for an address of http.
        cookie = page.headers["set-cookie"].partition(";")[0]
        form = {"csrfmiddlewaretoken": token, "login": email, "password": PASSWORD}
        headers = {"origin": origin, "referer": f"{origin}{LOGIN}", "cookie": cookie}
        return browser.post(LOGIN, data=form, headers=headers)


def test_a_form_is_taken_and_its_cookies_stay_with_https(gateway: Gateway, operator: str) -> None:
    done = sign_in(gateway, operator, origin=ORIGIN)
    assert (done.status_code, done.headers["location"]) == (302, "/")
    assert "max-age=" in done.headers["strict-transport-security"]
    cookies = done.headers.get_list("set-cookie")
    assert any(cookie.startswith("sessionid=") for cookie in cookies)
    assert [cookie for cookie in cookies if "Secure" not in cookie] == []


@pytest.mark.parametrize("origin", ["https://evil.example", "http://ai.example.com"])
def test_a_form_of_another_site_is_not(gateway: Gateway, operator: str, origin: str) -> None:
    assert sign_in(gateway, operator, origin=origin).status_code == 403


def test_whoever_comes_by_http_is_sent_on_but_not_calls_and_probes(gateway: Gateway) -> None:
    with httpx2.Client(base_url=gateway.url, headers={"host": "ai.example.com"}) as client:
        page = client.get(LOGIN)
        assert (page.status_code, page.headers["location"]) == (301, f"{ORIGIN}{LOGIN}")
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/models").status_code == 401


def test_https_without_a_trusted_proxy_is_said_at_the_start(parts: Parts) -> None:
    """Only `check --deploy` said it, in words of Django's about a setting that is not ours."""
    trusted = parts.env.pop("TRUSTED_PROXIES")
    log = parts.logs / "web.log"
    before = log.stat().st_size if log.exists() else 0
    gateway = parts.launch()
    parts.until(lambda: "TRUSTED_PROXIES is empty" in log.read_text()[before:], gateway.process)
    gateway.stop()
    parts.env["TRUSTED_PROXIES"] = trusted
