"""The one form that every dialect reads requests and answers into. Values only; no wire format.

Bounds, quotas and settlement know a call by these alone. A dialect adds its own members in a
subclass; translating between dialects extends this form, and never pairs two of them.
"""

from __future__ import annotations

import enum

import msgspec

from billing.usage import Usage


class FeatureKind(enum.StrEnum):
    """A part of a request whose tokens the bytes of its body do not bound.

    image, audio, file          sent in the body; a model may declare the tokens of each
    image_url, remote_file      fetched by the provider
    remote_input                a conversation or an answer kept at the provider
    hosted_tool, search         run by the provider, at prices outside tokens
    deferred                    answered later, on another request
    prediction                  rejected tokens are billed, and the output cap is not taken with it
    image_output                no price and no cap covers it
    service_tier                a dearer tier than the one that is priced
    other_model                 the provider may choose another model
    other                       content or a parameter whose cost is not known here
    """

    IMAGE = "image"
    IMAGE_URL = "image_url"
    AUDIO = "audio"
    FILE = "file"
    REMOTE_FILE = "remote_file"
    REMOTE_INPUT = "remote_input"
    HOSTED_TOOL = "hosted_tool"
    SEARCH = "search"
    DEFERRED = "deferred"
    PREDICTION = "prediction"
    IMAGE_OUTPUT = "image_output"
    SERVICE_TIER = "service_tier"
    OTHER_MODEL = "other_model"
    OTHER = "other"


# What is sent on when a request is told in another dialect; all else is refused there or left out.
CARRIED_KINDS = frozenset(
    {
        *(FeatureKind.IMAGE, FeatureKind.IMAGE_URL, FeatureKind.AUDIO),
        *(FeatureKind.FILE, FeatureKind.REMOTE_FILE),
    }
)


class Feature(msgspec.Struct, frozen=True):
    """`field` is its path in the request: `messages[0].content[1]`."""

    field: str
    kind: FeatureKind


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What any dialect's request says about cost and routing.

    `output_cap` is the most output tokens that the caller asked for, for each of `answers`, of
    which there are none where only input is used; `cap_field` the name under which it was, or would
    be, said. Each of `prompts` may fill a context window. `size_bytes` is the body as sent. What is
    free uses no tokens.
    """

    model: str
    stream: bool
    prompts: int = 1
    is_free: bool = False
    answers: int
    output_cap: int | None
    cap_field: str
    size_bytes: int
    wants_usage: bool
    asks_reasoning: bool
    features: tuple[Feature, ...]
    tags: dict[str, str]


class Metered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an answer says it used; exactly one of `usage` and `fault` is None.

    `reported_cost_ticks` is the provider's own price of the call, where it names one.
    """

    usage: Usage | None
    fault: str | None
    reported_cost_ticks: int | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A whole answer as far as metering looks at it. Its bytes go to the caller untouched.

    `is_answer` is false for anything but a JSON object without an error in it. `output_bytes` is
    at least the visible output in UTF-8, and so at least its tokens.
    """

    is_answer: bool
    upstream_id: str
    metered: Metered
    output_bytes: int
