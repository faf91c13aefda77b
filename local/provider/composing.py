"""What the provider says: an `Ask` read from any dialect becomes an `Answer`.

Pure: the same ask gives the same answer, token for token. Dialects read the
ask and write the answer; neither field names nor sockets are known here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from local.provider.behaviours import Behaviour
from local.provider.samples import sample_json
from local.provider.tokens import Counts, Json, count_tokens, split_tokens

MAX_PIECES = 64  # A normal answer streams in at most so many chunks.
MAX_TOKENS = 1_000_000  # No suffix of a model name makes a longer answer than that.
DEFAULT_REASONING = 64

FORTY_TWO = (
    "The answer to the ultimate question of life, the universe and everything is **42**: that is "
    "what the computer Deep Thought finds in Douglas Adams's novel, after seven and a half million "
    "years of work. Nobody in the story knows what the question was, which is the joke, and "
    "perhaps the point."
)
_THOUGHT = "The question is simple, so a short and friendly answer will do."
_MANY_ALPHABETS = (
    "Grüße aus Köln, 東京 よりこんにちは, Привет из Москвы, 🚀🎉 naïve café — ½ × π ≈ 1,57 ✓"
)
_NINE_TOKENS = "The answer is forty two, as the book says."


class Finish(Enum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    schema: Json


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a request asks for.

    `tool_choice` is auto, none, required, or the name of a tool. `tool_text` is
    the result of a tool when the conversation ends in one. `schema` asks for
    JSON ({} for any object). `echo` is what demo-echo says.
    """

    model: str
    behaviour: Behaviour
    prompt: Counts
    user_text: str
    tool_text: str | None = None
    cap: int | None = None
    choices: int = 1
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel_tools: bool = True
    schema: Json | None = None
    thinking: bool = False
    echo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`pieces` are the text, cut as it streams; `thoughts` is reasoning that may be shown.

    `counts` is for all choices of the ask together; every choice is the same.
    """

    pieces: tuple[str, ...]
    calls: tuple[ToolCall, ...]
    thoughts: str
    counts: Counts
    finish: Finish

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def compose(ask: Ask) -> Answer:
    """Answer `ask` within its cap.

    The cap holds reasoning and text together, as at OpenAI and Anthropic; for
    demo-reasoning-outside it holds the text alone, as at xAI.
    """
    outside = ask.behaviour.base == "demo-reasoning-outside"
    reasoning = 94 if outside else _wanted_reasoning(ask)
    if ask.cap is not None and not outside:
        reasoning = min(reasoning, ask.cap)
    room = _room(ask, 0 if outside else reasoning)
    calls = _choose_calls(ask)
    used = sum(1 + count_tokens(call.arguments) for call in calls)
    pieces: tuple[str, ...] = ()
    finish = Finish.TOOL_CALLS
    if not calls:
        pieces, used, cut = _say(ask, room)
        finish = Finish.LENGTH if cut else Finish.STOP
    elif used > room:
        # A call that does not fit is not begun, but its tokens were made.
        calls, used, finish = (), room, Finish.LENGTH
    counts = replace(
        _prompt_counts(ask),
        output=used * ask.choices,
        reasoning=reasoning * ask.choices,
        reasoning_outside=outside,
    )
    return Answer(
        pieces=pieces, calls=calls, thoughts=_think(ask, reasoning), counts=counts, finish=finish
    )


def _room(ask: Ask, reasoning: int) -> int:
    return MAX_TOKENS if ask.cap is None else min(ask.cap - reasoning, MAX_TOKENS)


def _prompt_counts(ask: Ask) -> Counts:
    """The prompt as it was counted, but where the model's name fixes it."""
    if ask.behaviour.base == "demo-reasoning-outside":
        return Counts(input=32)
    if ask.behaviour.base.startswith("bench-"):
        return Counts(input=16)
    if ask.behaviour.base == "demo-fixed" and len(ask.behaviour.numbers) > 1:
        return Counts(input=ask.behaviour.number(0))
    if ask.behaviour.base == "demo-cached":
        return Counts(input=ask.prompt.input, cached=ask.prompt.input // 2)
    return ask.prompt


def _wanted_reasoning(ask: Ask) -> int:
    if ask.behaviour.base == "demo-reasoning":
        return min(ask.behaviour.number(DEFAULT_REASONING), MAX_TOKENS)
    return count_tokens(_THOUGHT) if ask.thinking else 0


def _think(ask: Ask, tokens: int) -> str:
    """Text of so many tokens where reasoning is shown; OpenAI shows none."""
    shown = ask.thinking or ask.behaviour.base == "demo-reasoning-outside"
    if not shown or not tokens:
        return ""
    thought = split_tokens(_THOUGHT + " ")
    repeated = thought * (tokens // len(thought) + 1)
    return "".join(repeated[:tokens]).rstrip()


def _say(ask: Ask, room: int) -> tuple[tuple[str, ...], int, bool]:
    """The pieces to stream, their tokens, and whether the cap cut the text."""
    text = _SAYINGS.get(ask.behaviour.base, _reply)(ask)
    if ask.behaviour.base == "demo-echo":
        # Half an echo would tell a test nothing, so the cap does not cut it.
        room = MAX_TOKENS
    tokens = split_tokens(text)
    kept = tokens[:room]
    return _cut_in_pieces(ask.behaviour, kept), len(kept), len(kept) < len(tokens)


def _cut_in_pieces(behaviour: Behaviour, tokens: list[str]) -> tuple[str, ...]:
    if behaviour.base == "demo-big-event":
        return ("".join(tokens),)
    if behaviour.base.endswith("-chunks"):
        return tuple(tokens)
    size = -(-len(tokens) // MAX_PIECES) or 1
    return tuple("".join(tokens[at : at + size]) for at in range(0, len(tokens), size))


def _reply(ask: Ask) -> str:
    """What a newcomer reads after a first call."""
    if ask.schema is not None:
        return sample_json(ask.schema, ask.user_text)
    if ask.tool_text is not None:
        return f"The tool answered: {_shorten(ask.tool_text)}"
    asked = ask.user_text.lower()
    if "life" in asked and "universe" in asked:
        return FORTY_TWO
    return (
        f"Hello from the demo provider, answering as {ask.model}. It runs on this machine, needs "
        f"no internet and costs nothing. You wrote: “{_shorten(ask.user_text)}” With the key of a "
        "real provider, the same request is answered by the real model."
    )


def _shorten(text: str) -> str:
    words = text.split()
    return " ".join(words[:24]) + (" ..." if len(words) > 24 else "")


def _say_fixed(ask: Ask) -> str:
    """The last number of the name is the number of tokens to be said, one where it has none."""
    last = max(0, len(ask.behaviour.numbers) - 1)
    return "token " * min(ask.behaviour.number(1, at=last), MAX_TOKENS)


def _say_chunks(ask: Ask) -> str:
    return "chunk " * min(ask.behaviour.number(10), 10_000)


def _say_big(ask: Ask) -> str:
    """Sixteen bytes a token, so that a MiB is 65,536 tokens."""
    return "fifteen-letters " * (65_536 * min(ask.behaviour.number(1), 64))


_SAYINGS: dict[str, Callable[[Ask], str]] = {
    "demo-fixed": _say_fixed,
    "demo-chunks": _say_chunks,
    "bench-chunks": _say_chunks,
    "bench-instant": lambda ask: " ".join(["instant"] * 16),
    "demo-big-event": _say_big,
    "demo-echo": lambda ask: ask.echo,
    "demo-split-utf8": lambda ask: _MANY_ALPHABETS,
    "demo-reasoning-outside": lambda ask: _NINE_TOKENS,
}


def _choose_calls(ask: Ask) -> tuple[ToolCall, ...]:
    """The tools to call: those the choice requires, else those the user speaks of.

    A conversation that ends in a tool's result is answered in words.
    """
    if not ask.tools or ask.tool_choice == "none" or ask.tool_text is not None:
        return ()
    chosen = [tool for tool in ask.tools if _is_meant(tool, ask)]
    if not chosen and ask.tool_choice == "required":
        chosen = [ask.tools[0]]
    if not ask.parallel_tools:
        chosen = chosen[:1]
    return tuple(_call(tool, ask.user_text) for tool in chosen)


def _is_meant(tool: Tool, ask: Ask) -> bool:
    """Named by the choice, or a word of four letters of its name stands in the user's text."""
    if ask.tool_choice not in ("auto", "required"):
        return tool.name == ask.tool_choice
    text = ask.user_text.lower()
    words = tool.name.lower().replace("-", "_").split("_")
    return any(len(word) >= 4 and word in text for word in words)


def _call(tool: Tool, user_text: str) -> ToolCall:
    return ToolCall(tool.name, sample_json(tool.schema, user_text))
