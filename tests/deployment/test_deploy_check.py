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


@pytest.mark.parametrize(
    ("env", "check_id", "named"),
    [
        ({"PUBLIC_URL": "http://ai.example.com"}, "accounts.W001", "PUBLIC_URL is http"),
        ({"PUBLIC_URL": "https://ai.example.com"}, "accounts.W002", "TRUSTED_PROXIES is empty"),
    ],
)
def test_one_warning_names_the_variables_and_none_a_setting_that_follows_from_them(
    env: dict[str, str], check_id: str, named: str
) -> None:
    done = check(**{"TRUSTED_PROXIES": "", **env})
    assert done.returncode == 1
    assert check_id in done.stderr
    assert named in done.stderr
    assert "1 issue " in done.stderr
    assert "SECURE_" not in done.stderr


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
