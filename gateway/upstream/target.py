"""Where requests go, and the part of their heads that is the same for all of them.

A Target is checked and written once; a request adds its few own headers and its length. Nothing
that could make two requests of one gets into a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import httpx2

Pairs = Sequence[tuple[bytes, bytes]]

_IDENTITY = (b"accept-encoding", b"identity")
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Target:
    """A URL that is posted to, with the headers that every request carries.

    A URL or header that cannot be used is found when the first head is written: httpx2.InvalidURL,
    httpx2.LocalProtocolError.
    """

    def __init__(self, url: str, headers: Pairs = ()) -> None:
        self._text = url
        self._headers = headers
        self._asking: dict[bytes, Target] = {}

    @cached_property
    def url(self) -> httpx2.URL:
        return httpx2.URL(self._text)

    def asking(self, query: bytes) -> Target:
        """Return the same with a query, which is one of few."""
        found = self._asking.get(query)
        if found is None:
            url = f"{self._text}?{query.decode()}"
            found = self._asking[query] = Target(url, self._headers)
        return found

    @cached_property
    def origin(self) -> tuple[str, bytes]:
        """Scheme and host with port: what connections can be shared by."""
        return self.url.scheme, self.url.netloc

    @cached_property
    def pairs(self) -> Pairs:
        return [(b"host", self.url.netloc), *self._headers, _IDENTITY]

    @cached_property
    def _names(self) -> frozenset[bytes]:
        return _check(self.pairs, frozenset())

    @cached_property
    def _start(self) -> bytes:
        """Return the head as far as it is always the same."""
        assert self._names
        return b"POST %b HTTP/1.1\r\n%b" % (self.url.raw_path, _write(self.pairs))

    def write_head(self, request_id: str, headers: Pairs, size: int) -> bytes:
        """Write the head of a request with further `headers` and a body of `size` bytes.

        `request_id` is ours: letters, digits and hyphens, or '' for none.
        """
        own = b"x-client-request-id: %b\r\n" % request_id.encode() if request_id else b""
        if headers:
            _check(headers, self._names)
            own += _write(headers)
        return b"%b%bcontent-length: %d\r\n\r\n" % (self._start, own, size)

    def make_request(self, request_id: str, headers: Pairs, body: bytes) -> httpx2.Request:
        """Make the same request as a value, for a transport that takes those."""
        if request_id:
            headers = [(b"x-client-request-id", request_id.encode()), *headers]
        _check(headers, self._names)
        length = (b"content-length", b"%d" % len(body))
        return httpx2.Request(
            "POST",
            self.url,
            headers=[*self.pairs, *headers, length],
            stream=httpx2.ByteStream(body),
        )


def _write(headers: Pairs) -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def _check(headers: Pairs, taken: frozenset[bytes]) -> frozenset[bytes]:
    """Return the names. Raises httpx2.LocalProtocolError for what bends a request, or is twice."""
    names = frozenset([name.lower() for name, _ in headers])
    if len(names) < len(headers) or not names.isdisjoint(taken) or not names.isdisjoint(_FRAMING):
        raise httpx2.LocalProtocolError("a header of the request stands twice or is forbidden")
    text = b"".join([name + value for name, value in headers])
    if b"\r" in text or b"\n" in text or b"\0" in text:
        raise httpx2.LocalProtocolError("a header of the request holds CR, LF or NUL")
    return names
