"""A small OpenID Connect provider, served on a port of its own: discovery, keys, authorization with
PKCE, tokens that are signed, userinfo. Whoever comes to it is `person`, without being asked."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID = "tollgate"
CLIENT_SECRET = "the secret of tollgate at its identity provider"
KEY_ID = "first"


class IdentityProvider:
    """`person` is what it knows of who signs in; `audience` for whom its tokens are."""

    def __init__(self) -> None:
        self.person: dict[str, Any] = {}
        self.audience = CLIENT_ID
        self.issuer = ""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: dict[str, dict[str, Any]] = {}

    def discover(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def list_keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]}

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where to send the person who came with this query."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert {"openid", "email"} <= set(asked["scope"].split())
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def give_token(self, asked: dict[str, str]) -> dict[str, Any] | None:
        """Return tokens for a code, once, to the client that proves to be the one it is for."""
        was = self._codes.pop(asked.get("code", ""), None)
        digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        proven = (asked.get("client_id"), asked.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if was is None or not proven or challenge != was["code_challenge"]:
            return None
        if asked["redirect_uri"] != was["redirect_uri"]:
            return None
        token, now = secrets.token_urlsafe(16), int(time.time())
        self._tokens[token] = dict(self.person)
        claims = {"iss": self.issuer, "aud": self.audience, "iat": now, "exp": now + 300}
        claims |= {"jti": secrets.token_hex(8), **self.person}
        signed = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": KEY_ID})
        return {"access_token": token, "token_type": "Bearer", "id_token": signed}

    def tell(self, authorization: str) -> dict[str, Any] | None:
        return self._tokens.get(authorization.removeprefix("Bearer "))


class _Handler(BaseHTTPRequestHandler):
    provider: IdentityProvider

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        match address.path:
            case "/.well-known/openid-configuration":
                self._answer(self.provider.discover())
            case "/keys":
                self._answer(self.provider.list_keys())
            case "/authorize":  # Sends people on to where they have an account, elsewhere.
                elsewhere = self.provider.issuer.replace("127.0.0.1", "localhost")
                self._lead(f"{elsewhere}/elsewhere?{address.query}")
            case "/elsewhere":
                self._lead(self.provider.authorize(_read(address.query)))
            case "/userinfo":
                self._answer(self.provider.tell(self.headers.get("Authorization", "")))
            case _:
                self._answer(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(self.provider.give_token(_read(body)))

    def _lead(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.end_headers()

    def _answer(self, told: dict[str, Any] | None) -> None:
        body = json.dumps(told or {"error": "invalid_grant"}).encode()
        self.send_response(400 if told is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def _read(text: str) -> dict[str, str]:
    return dict(parse_qsl(text))


@contextmanager
def run_identity_provider() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    handler = type("Handler", (_Handler,), {"provider": provider})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        provider.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield provider
        server.shutdown()
        thread.join()
