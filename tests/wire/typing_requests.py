"""Requests as the vendors' own type definitions allow them, for property tests."""

from __future__ import annotations

import typing
from typing import Any

import typing_extensions
from hypothesis import strategies as st

_WRAPPERS = {
    typing.Annotated,
    typing_extensions.Required,
    typing_extensions.NotRequired,
    typing.Required,
    typing.NotRequired,
}
_REQUIRED: set[Any] = {typing.Required}
_TEXTS = st.sampled_from(
    ["", " ", "text", "é\n", "user", "{}", '{"a":1}', "data:image/png;base64,iVBORw0KGgo="]
)
_MOST_DEEP = 6
# So few fields that most requests hold none that is refused.
MOST_OPTIONAL = 2
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    type(None): st.none(),
    str: _TEXTS,
    bool: st.booleans(),
    int: st.integers(1, 5),
    float: st.sampled_from([0.0, 0.5, 1.0]),
}


def of_type(type_: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a type: every member of a union, every literal, optional fields or not."""
    origin, inner = typing.get_origin(type_), typing.get_args(type_)
    if origin in _WRAPPERS:
        return of_type(inner[0], depth)
    if origin in {typing.Literal, typing_extensions.Literal}:
        return st.sampled_from(inner)
    return st.deferred(lambda: _of_parts(type_, origin, inner, depth))


def _of_parts(type_: Any, origin: Any, inner: Any, depth: int) -> st.SearchStrategy[Any]:
    if str(origin) in {"typing.Union", "<class 'types.UnionType'>"}:
        return st.one_of([of_type(one, depth) for one in inner])
    if typing_extensions.is_typeddict(type_):
        return of_fields(type_, depth + 1)
    if origin is dict:
        return st.dictionaries(st.sampled_from(["a", "type"]), of_type(inner[1], depth), max_size=2)
    if _is_list(type_, origin):
        return st.lists(of_type(inner[0], depth), min_size=1, max_size=3)
    return _PLAIN.get(type_, st.just({"type": "object"}))


def _is_list(type_: Any, origin: Any) -> bool:
    names = ("list", "Iterable", "Sequence", "SequenceNotStr")
    return getattr(origin, "__name__", "") in names or "SequenceNotStr" in repr(type_)


def of_fields(type_: Any, depth: int = 0, *, also: str = "") -> st.SearchStrategy[Any]:
    """Values of a TypedDict, with every field that is required, and the one named `also`."""
    hints = typing_extensions.get_type_hints(type_, include_extras=True)
    # The types' own __required_keys__ know nothing of annotations that are text.
    needed = {name for name, hint in hints.items() if typing.get_origin(hint) in _REQUIRED}
    needed |= {also} & hints.keys()
    if depth > _MOST_DEEP:
        hints = {name: hint for name, hint in hints.items() if name in needed}
    fields = {name: of_type(hint, depth) for name, hint in hints.items()}
    given = st.fixed_dictionaries({name: fields[name] for name in needed})
    others = sorted(fields.keys() - needed)
    if not others:
        return given
    chosen = st.lists(st.sampled_from(others), max_size=MOST_OPTIONAL, unique=True)
    beside = chosen.flatmap(lambda names: st.fixed_dictionaries({n: fields[n] for n in names}))
    return st.builds(lambda one, more: one | more, given, beside)
