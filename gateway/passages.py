"""How the calls of an endpoint reach a provider: as they are, or told in its own dialect and back.

A Passage is chosen once for a key, a model and a route (lanes.py); nothing of a single call is
kept in it. Knows bytes and headers, and nothing of keys or money.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from billing.usage import Usage
from gateway.errors import BadRequest, UpstreamError
from gateway.protocols.conversation import (
    Conversation,
    EventReader,
    EventWriter,
    Head,
    Reply,
    Untranslatable,
)
from gateway.protocols.form import Answer, Metered, Request
from gateway.protocols.stream import EventStream
from gateway.protocols.surrogates import mend
from gateway.protocols.translation import TranslatedStream

Pairs = Sequence[tuple[bytes, bytes]]
Names = Mapping[str, str]

NO_NAMES: Names = {}


class StreamReader(Protocol):
    """What relaying needs of a stream in any dialect; EventStream documents it."""

    @property
    def ended(self) -> bool: ...
    @property
    def ending(self) -> bytes: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def has_finished(self) -> bool: ...
    @property
    def error(self) -> UpstreamError | None: ...
    @property
    def upstream_id(self) -> str: ...
    @property
    def has_reasoned(self) -> bool: ...
    @property
    def output_bytes(self) -> int: ...
    @property
    def metered(self) -> Metered: ...
    @property
    def input_usage(self) -> Usage | None: ...

    def feed(self, data: bytes) -> bytes: ...

    def close(self, error: UpstreamError | None = None) -> bytes: ...


# A body for one route, and tools' own names by those that stand in it.
Written = tuple[bytes, Names]


class Passage(Protocol):
    """`path` is below the provider's base URL, `forwards` what of a caller's headers goes on,
    `queries` what of the query of its address, as `name=value`, `least_cap` the smallest output cap
    that its provider takes."""

    @property
    def path(self) -> str: ...
    @property
    def least_cap(self) -> int: ...
    @property
    def is_translated(self) -> bool: ...
    @property
    def forwards(self) -> frozenset[bytes]: ...
    @property
    def queries(self) -> frozenset[bytes]: ...

    def authorize(self, credential: str) -> Pairs:
        """The headers that every request carries."""

    def write_headers(self, sent: Mapping[bytes, bytes], context_window: int) -> Pairs:
        """What goes on of the caller's own headers."""

    def write_request(
        self, request: Any, *, upstream_model: str, output_cap: int, cap_field: str | None
    ) -> Written:
        """Write the body for one route. Raises BadRequest for what its provider cannot be asked."""

    def read_answer(self, body: bytes) -> Answer: ...

    def open_stream(self, head: Head, names: Names, **options: Any) -> StreamReader: ...


class Speech(NamedTuple):
    """What a provider hears and says at one of its paths, where it takes no output cap below
    `least_cap`."""

    path: str
    forwards: frozenset[bytes]
    authorize: Callable[[str], Pairs]
    write_headers: Callable[[Mapping[bytes, bytes], int], Pairs]
    read_answer: Callable[[bytes], Answer]
    stream: Callable[..., EventStream] | None
    queries: frozenset[bytes] = frozenset()
    least_cap: int = 1


def read_whole(speech: Speech, body: bytes) -> Answer:
    """Read a whole answer. Halves of characters are looked for only in what cannot be read."""
    answer = speech.read_answer(body)
    if answer.metered.fault is None and answer.is_answer:
        return answer
    mended = mend(body)
    return answer if mended is body else speech.read_answer(mended)


class Passing(NamedTuple):
    """Both sides speak the same: the answer's bytes are the provider's, and caps the caller's."""

    speech: Speech
    write: Callable[..., bytes]
    is_translated: bool = False

    @property
    def path(self) -> str:
        return self.speech.path

    @property
    def least_cap(self) -> int:
        return self.speech.least_cap

    @property
    def forwards(self) -> frozenset[bytes]:
        return self.speech.forwards

    @property
    def queries(self) -> frozenset[bytes]:
        return self.speech.queries

    def authorize(self, credential: str) -> Pairs:
        return self.speech.authorize(credential)

    def write_headers(self, sent: Mapping[bytes, bytes], context_window: int) -> Pairs:
        return self.speech.write_headers(sent, context_window)

    def write_request(
        self, request: Request, *, upstream_model: str, output_cap: int, cap_field: str | None
    ) -> Written:
        body = self.write(
            request, upstream_model=upstream_model, output_cap=output_cap, cap_field=cap_field
        )
        return body, NO_NAMES

    def read_answer(self, body: bytes) -> Answer:
        return read_whole(self.speech, body)

    def open_stream(self, head: Head, names: Names, **options: Any) -> StreamReader:
        assert self.speech.stream is not None, "this endpoint does not stream"
        return self.speech.stream(call_id=head.call_id, **options)


class CallersSide(NamedTuple):
    """How a dialect is read from its callers, and answers are written to them."""

    read_conversation: Callable[[Any], Conversation]
    write_reply: Callable[[Reply, Head, Usage | None], bytes]
    writer: Callable[[Head], EventWriter]


class ProvidersSide(NamedTuple):
    """How a dialect is written to its providers, and answers are read from them."""

    speech: Speech
    write_conversation: Callable[..., bytes]
    read_reply: Callable[..., Reply]
    reader: Callable[..., EventReader]
    long_names: Callable[[Conversation], Names]
    headers: Pairs


class Translating(NamedTuple):
    """Both sides speak differently: everything goes through the one form.

    None of the caller's headers goes on, nor of its query, for they are said in its own dialect.
    """

    caller: CallersSide
    provider: ProvidersSide
    is_translated: bool = True

    @property
    def path(self) -> str:
        return self.provider.speech.path

    @property
    def least_cap(self) -> int:
        return self.provider.speech.least_cap

    @property
    def forwards(self) -> frozenset[bytes]:
        return frozenset()

    @property
    def queries(self) -> frozenset[bytes]:
        return frozenset()

    def authorize(self, credential: str) -> Pairs:
        return [*self.provider.speech.authorize(credential), *self.provider.headers]

    def write_headers(self, sent: Mapping[bytes, bytes], context_window: int) -> Pairs:
        return ()

    def write_request(
        self, request: Request, *, upstream_model: str, output_cap: int, cap_field: str | None
    ) -> Written:
        try:
            conversation = self.caller.read_conversation(request)
            body = self.provider.write_conversation(
                conversation,
                stream=request.stream,
                upstream_model=upstream_model,
                output_cap=output_cap,
                cap_field=cap_field,
            )
        except RecursionError:
            message = "The request body is nested too deeply."
            raise BadRequest(message, code="invalid_json") from None
        return body, self.provider.long_names(conversation)

    def read_answer(self, body: bytes) -> Answer:
        return read_whole(self.provider.speech, body)

    def tell(self, body: bytes, answer: Answer, head: Head, names: Names) -> bytes:
        """Return the answer as the caller reads it. Raises Untranslatable."""
        try:
            reply = self.provider.read_reply(mend(body), names=names, call_id=head.call_id)
            return self.caller.write_reply(reply, head, answer.metered.usage)
        except RecursionError:
            raise Untranslatable("the answer is nested too deeply") from None

    def open_stream(self, head: Head, names: Names, **options: Any) -> StreamReader:
        """Usage is always read on, as the caller's side decides whether to tell it."""
        assert self.provider.speech.stream is not None, "what is translated can stream"
        source = self.provider.speech.stream(
            call_id=head.call_id, **{**options, "wants_usage": True}
        )
        reader = self.provider.reader(names=names, call_id=head.call_id)
        return TranslatedStream(source, reader, self.caller.writer(head))
