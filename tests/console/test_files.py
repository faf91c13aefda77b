"""Styles and scripts under ASGI, as browsers ask for them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import AsyncClient

NAME = "console/console.css"
PATH = f"/static/{NAME}"


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """Each file was a stream that is not asynchronous, which Django warned of in every log."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def content() -> bytes:
    found = finders.find(NAME)
    assert found is not None
    return Path(found).read_bytes()


async def test_a_file_is_answered_whole(async_client: AsyncClient, content: bytes) -> None:
    answer = await async_client.get(PATH)
    assert (answer.status_code, answer.content) == (200, content)
    assert answer["content-type"] == 'text/css; charset="utf-8"'
    assert answer["content-length"] == str(len(content))
    assert "max-age" in answer["cache-control"]


async def test_who_has_it_already_is_told_so(async_client: AsyncClient) -> None:
    known = (await async_client.get(PATH))["etag"]
    again = await async_client.get(PATH, headers={"if-none-match": known})
    assert (again.status_code, again.content, again["etag"]) == (304, b"", known)


async def test_a_part_or_the_head_alone_can_be_asked_for(
    async_client: AsyncClient, content: bytes
) -> None:
    part = await async_client.get(PATH, headers={"range": "bytes=5-14"})
    assert (part.status_code, part.content) == (206, content[5:15])
    head = await async_client.head(PATH)
    assert (head.status_code, head.content) == (200, b"")
    assert head["content-length"] == str(len(content))


async def test_nothing_is_sent_to_a_file(async_client: AsyncClient) -> None:
    assert (await async_client.post(PATH)).status_code == 405
