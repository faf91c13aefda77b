"""`manage.py check --deploy` has nothing to say of an installation behind https."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from accounts.proxies import TrustedProxyMiddleware
from config.new_secrets import make_secrets
from tests.house.tracked import ROOT

HTTPS = {"PUBLIC_URL": "https://ai.example.com", "TRUSTED_PROXIES": "10.0.0.0/8"}


def check(**env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**os.environ, **make_secrets(), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_check_for_deployment_is_clean() -> None:
    done = check(**HTTPS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues" in done.stdout


def test_the_check_would_say_something_without_https() -> None:
    done = check(PUBLIC_URL="http://ai.example.com")
    assert done.returncode == 1
    assert "SESSION_COOKIE_SECURE" in done.stderr


@pytest.mark.parametrize(
    ("peer", "is_secure"), [("10.1.2.3", True), ("192.0.2.7", False), ("", False)]
)
def test_only_a_trusted_proxy_says_how_it_was_asked(
    rf: RequestFactory, settings: Any, peer: str, is_secure: bool
) -> None:
    settings.TRUSTED_PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request.is_secure())
        return HttpResponse()

    request = rf.get("/", REMOTE_ADDR=peer, headers={"x-forwarded-proto": "https"})
    TrustedProxyMiddleware(view)(request)
    assert seen == [is_secure]
