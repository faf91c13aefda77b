"""A provider that says our credential back, in every place that an answer has."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from tests.gateway.sockets import Peer

STATUSES = (200, 302, 400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 503, 529)
SHAPES = ("message", "fields", "anthropic", "xai", "text", "html", "headers", "stream", "quoted")
HEADERS = (
    *("x-request-id", "openai-processing-ms", "openai-version", "openai-organization"),
    *("retry-after", "retry-after-ms", "www-authenticate", "set-cookie", "location", "server"),
    *("x-ratelimit-limit-requests", "anthropic-organization-id"),
)


def name_model(status: int, shape: str) -> str:
    return f"echo-{status}-{shape}"


async def echo(peer: Peer) -> None:
    """Answer requests as their model name says."""
    while request := await peer.read_request():
        head, _, body = request.partition(b"\r\n\r\n")
        credential = read_credential(head)
        name = re.fullmatch(r"echo-(\d+)-(\w+)", str(json.loads(body).get("model")))
        status, shape = (int(name[1]), name[2]) if name else (401, "message")
        peer.write(write_answer(status, shape, credential))


def read_credential(head: bytes) -> str:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        if name.lower() in {"authorization", "x-api-key"}:
            return value.removeprefix("Bearer ")
    return ""


def write_answer(status: int, shape: str, secret: str) -> bytes:
    told = f"Incorrect API key provided: {secret}. See https://platform.example/keys?key={secret}."
    kind, headers = "application/json", {}
    body: object = {"error": {"message": told, "type": "x", "param": None, "code": None}}
    if shape == "fields":
        fields = dict.fromkeys(("message", "type", "param", "code"), secret)
        body = {"error": {**fields, secret: secret}, "usage": {secret: 1}, "id": secret}
    elif shape == "anthropic":
        body = {"type": "error", "error": {"type": secret, "message": told}, "request_id": secret}
    elif shape == "xai":
        body = {"code": told, "error": f"Bearer {secret}"}
    elif shape == "quoted":
        escaped = "".join(f"\\u{ord(each):04x}" for each in secret)
        body = {"error": {"message": f"{quote(secret)} {' '.join(secret)} {escaped}"}}
    elif shape == "headers":
        headers = dict.fromkeys(HEADERS, secret)
    if shape in {"text", "html"}:
        kind = f"text/{'html' if shape == 'html' else 'plain'}"
        content = f"<p>{told}</p>\r\nauthorization: Bearer {secret}".encode()
    elif shape == "stream":
        kind = "text/event-stream"
        event = json.dumps(body).encode()
        content = b"event: error\ndata: %b\n\n" % event
    else:
        content = json.dumps(body).encode().replace(b"\\\\u", b"\\u")
    lines = [f"HTTP/1.1 {status} {secret if shape == 'headers' else 'Status'}"]
    lines += [f"content-type: {kind}", f"content-length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content
