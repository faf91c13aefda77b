"""A stream's events as blocks of which one is open at a time, as two of the dialects want them.

Providers of chat completions may send fragments of several tool calls interleaved. A block that
begins while a call is under way waits until that call's arguments are whole. Pure.
"""

from __future__ import annotations

import enum

import msgspec

from gateway.protocols.conversation import (
    CallBegun,
    CallDelta,
    Event,
    Finished,
    RefusalDelta,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)


class BlockKind(enum.Enum):
    TEXT = "text"
    THINKING = "thinking"
    REFUSAL = "refusal"
    CALL = "call"


class Block(msgspec.Struct, kw_only=True):
    """One part of the answer. `pieces` is its text so far: words, thoughts or arguments."""

    kind: BlockKind
    index: int = -1
    call: int = -1
    id: str = ""
    name: str = ""
    signature: str = ""
    pieces: list[str] = msgspec.field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Opened(msgspec.Struct, frozen=True):
    block: Block


class Added(msgspec.Struct, frozen=True):
    block: Block
    text: str


class Closed(msgspec.Struct, frozen=True):
    block: Block


Step = Opened | Added | Closed

_KINDS = {
    TextDelta: BlockKind.TEXT,
    ThinkingDelta: BlockKind.THINKING,
    RefusalDelta: BlockKind.REFUSAL,
}


class Sequence:
    """Puts events in such an order that blocks follow one another, numbered from 0."""

    def __init__(self) -> None:
        self._open: Block | None = None
        self._waiting: list[Block] = []
        self._closed: set[int] = set()
        self._next = 0
        self._ends: dict[int, JsonEnd] = {}

    def take(self, event: Event) -> list[Step]:
        """Return what can be told now."""
        match event:
            case TextDelta() | ThinkingDelta() | RefusalDelta():
                steps = self._add(_KINDS[type(event)], event.text) if event.text else []
            case CallBegun(call=call, id=id_, name=name):
                self._ends[call] = JsonEnd()
                steps = self._begin(Block(kind=BlockKind.CALL, call=call, id=id_, name=name))
            case CallDelta(call=call, fragment=fragment):
                steps = self._add_to_call(call, fragment)
            case SignatureDelta(signature=signature):
                self._sign(signature)
                steps = []
            case Finished():
                steps = []
        return steps

    def end(self) -> list[Step]:
        """Close what is open and tell whatever waited."""
        steps: list[Step] = self._close()
        for block in self._waiting:
            steps += [*self._open_block(block), *self._close()]
        self._waiting = []
        return steps

    def _add(self, kind: BlockKind, text: str) -> list[Step]:
        last = self._waiting[-1] if self._waiting else self._open
        if last is None or last.kind is not kind:
            return self._begin(Block(kind=kind, pieces=[text]))
        return self._append(last, text)

    def _add_to_call(self, call: int, fragment: str) -> list[Step]:
        """What still comes for a call whose arguments were whole can only be space."""
        if call in self._closed or not fragment:
            return []
        self._ends[call].feed(fragment)
        blocks = [*([self._open] if self._open else []), *self._waiting]
        block = next(block for block in blocks if block.call == call)
        return [*self._append(block, fragment), *self._advance()]

    def _append(self, block: Block, text: str) -> list[Step]:
        block.pieces.append(text)
        return [Added(block, text)] if block is self._open else []

    def _sign(self, signature: str) -> None:
        blocks = [*self._waiting[::-1], *([self._open] if self._open else [])]
        for block in blocks:
            if block.kind is BlockKind.THINKING:
                block.signature = signature
                return

    def _begin(self, block: Block) -> list[Step]:
        self._waiting.append(block)
        return self._advance()

    def _advance(self) -> list[Step]:
        """Open the waiting blocks, as far as the one before each is over."""
        steps: list[Step] = []
        while self._waiting and self._is_over(self._open):
            steps += [*self._close(), *self._open_block(self._waiting.pop(0))]
        return steps

    def _is_over(self, block: Block | None) -> bool:
        return block is None or block.call < 0 or self._ends[block.call].is_whole

    def _open_block(self, block: Block) -> list[Step]:
        block.index = self._next
        self._next += 1
        self._open = block
        return [Opened(block), *([Added(block, block.text)] if block.pieces else [])]

    def _close(self) -> list[Step]:
        block, self._open = self._open, None
        if block is None:
            return []
        self._closed.add(block.call)
        return [Closed(block)]


class JsonEnd:
    """Watches the arguments of a call for the end of their object, however they are cut.

    Texts are cut out of a fragment by their quotes, and braces are counted in what is left: the
    braces of an object balance at its end only. A megabyte of either takes a few milliseconds.
    """

    def __init__(self) -> None:
        self.is_whole = False
        self._depth = 0
        self._in_text = False
        self._is_escaped = False

    def feed(self, fragment: str) -> None:
        if not fragment:
            return
        if self._is_escaped:
            fragment = fragment[1:]
        bare = fragment.replace("\\\\", "")
        self._is_escaped = bare.endswith("\\")
        pieces = bare.replace('\\"', "").split('"')
        outside = "".join(pieces[self._in_text :: 2])
        self._in_text ^= len(pieces) % 2 == 0
        closed = outside.count("}")
        self._depth += outside.count("{") - closed
        self.is_whole |= closed > 0 and self._depth <= 0
