"""The end of a call's arguments is found however they are cut, in little time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.blocks import JsonEnd

_TEXTS = st.text(alphabet='{}"\\ab,:', max_size=8)
_VALUES: Any = st.recursive(
    _TEXTS | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
)


@given(st.dictionaries(_TEXTS, _VALUES, max_size=4), st.data())
def test_arguments_are_whole_at_their_last_brace_and_not_before(
    arguments: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(arguments)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text) - 1), max_size=6)))
    end = JsonEnd()
    for start, stop in zip([0, *cuts], [*cuts, len(text) - 1], strict=True):
        end.feed(text[start:stop])
        assert not end.is_whole
    end.feed(text[-1])
    assert end.is_whole
    end.feed("\n")
    assert end.is_whole


@pytest.mark.parametrize("piece", ["{", "}", '"', '\\"', "\\", '{"a":'])
def test_a_megabyte_of_anything_is_taken(piece: str) -> None:
    """Each brace was a step of its own: a third of a second in which nobody was served."""
    end = JsonEnd()
    end.feed(piece * (2**20 // len(piece)))
    assert end.is_whole == (piece == "}")
