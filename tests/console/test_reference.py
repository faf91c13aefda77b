"""/docs/reference: all of the document is on its pages, in HTML that needs no script."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from gateway.reference import describe

pytestmark = pytest.mark.django_db

DOCUMENT = describe(server="http://here", version="0")
OPERATIONS = {
    told["operationId"]: (method.upper(), path, told)
    for path, methods in DOCUMENT["paths"].items()
    for method, told in methods.items()
}


def test_the_document_is_served_for_this_installation(client: Client, settings: Any) -> None:
    found = client.get("/docs/openapi.json").json()
    assert found["servers"] == [{"url": settings.PUBLIC_URL}]
    assert found["paths"].keys() == DOCUMENT["paths"].keys()


def test_the_list_leads_to_a_page_of_every_endpoint(client: Client) -> None:
    listed = client.get("/docs/reference/").content.decode()
    for name, (method, path, told) in OPERATIONS.items():
        assert f"/docs/reference/{name}" in listed
        page = client.get(f"/docs/reference/{name}")
        text = page.content.decode()
        assert page.status_code == 200
        assert f"{method} " in text
        assert path in text
        for status in told["responses"]:
            assert status == "200" or f'<th scope="row">{status}</th>' in text
    assert client.get("/docs/reference/nothing").status_code == 404


def test_every_field_of_a_request_stands_on_the_page_with_its_meaning(client: Client) -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name, schema in (("chat-completions", "ChatRequest"), ("messages", "MessagesRequest")):
        text = client.get(f"/docs/reference/{name}").content.decode()
        for field in schemas[schema]["properties"]:
            assert f"<code>{field}</code>" in text, field
    chat = client.get("/docs/reference/chat-completions").content.decode()
    assert "<code>stream_options.include_usage</code>" in chat
    assert '<a href="#ChatMessage">ChatMessage</a>' in chat
    assert chat.count('id="ChatMessage"') == 1
    assert "1 to 10,000,000" in chat
