"""The top level of a request body: what is not JSON in one reading only is refused."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.protocols.body import MAX_ELEMENTS, check_unchecked, decode_members, encode_members
from tests.wire.making import compact

BROKEN = [
    b"",
    b"null",
    b"[1]",
    b'"text"',
    b"{",
    b'{"a":1}x',
    b"{'a':1}",
    b'{"a":NaN}',
    b'{"a":01}',
    b'{"a":"\x00"}',
    b'{"a":"\xff"}',
    b'{"\xff":1}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\\ud800"}',
    b"\xef\xbb\xbf{}",
    b'{"a":' + b"[" * 100_000,
    b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    compact({f"field{n}": n for n in range(600)}),
]


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: body[:12])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_members(body)
    assert caught.value.code == "invalid_json"


REPEATED = [
    b'{"a":1,"a":1}',
    b'{"a":1,"b":2,"a":12}',
    b'{"a":12,"b":2,"a":1}',
    b'{ "a" : 1 , "b":2, "a" : 1 }',
    b'{"\\u0061":1,"a":1}',
    b'{"a":1,"\\u0061":1}',
    b'{"a":{"b":[1,2]},"a":{"b":[1]}}',
    b'{"a":"x\\",\\"b","b":1,"a":"x"}',
    '{"ä":1,"ä":2}'.encode(),
]


@pytest.mark.parametrize("body", REPEATED)
def test_a_name_said_twice_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_members(body)
    assert caught.value.code == "duplicate_field"
    assert caught.value.field in {"a", "ä"}


spaces = st.text(" \t\r\n", max_size=2)
names = st.text(st.sampled_from('ab"\\é:,{}'), max_size=3)
values = st.sampled_from(["1", "12", '"a"', '"\\"a\\":1"', '{"a":1,"a":2}', "[1, 2]", "null", "{}"])
members = st.lists(st.tuples(names, values, spaces, spaces, st.booleans()), max_size=5)


def write(parts: list[tuple[str, str, str, str, bool]]) -> bytes:
    """JSON with these spaces around its parts, and names escaped to ASCII or not."""
    written = [
        f"{before}{json.dumps(name, ensure_ascii=ascii_only)}{after}:{before}{value}{after}"
        for name, value, before, after, ascii_only in parts
    ]
    return ("{" + ",".join(written) + "}").encode()


@given(members)
def test_exactly_the_bodies_with_a_repeated_top_level_name_are_refused(
    parts: list[tuple[str, str, str, str, bool]],
) -> None:
    body = write(parts)
    names = [part[0] for part in parts]
    if len(set(names)) < len(names):
        with pytest.raises(BadRequest):
            decode_members(body)
    else:
        assert {name: bytes(raw).decode() for name, raw in decode_members(body).items()} == {
            part[0]: part[1] for part in parts
        }


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=6))
def test_what_is_written_anew_means_what_was_sent(sent: dict[str, Any]) -> None:
    for body in (compact(sent), json.dumps(sent).encode(), json.dumps(sent, indent=2).encode()):
        assert json.loads(encode_members(decode_members(body))) == sent


@example(b'{"a":1' + b"0" * 400 + b"}")
@given(st.sampled_from([b"1e400", b"-1e400", b"9223372036854775808", b"-9223372036854775809"]))
def test_a_number_that_readers_read_differently_is_refused(number: bytes) -> None:
    members = decode_members(number if number[:1] == b"{" else b'{"a":%s}' % number)
    with pytest.raises(BadRequest) as caught:
        check_unchecked(members, checked=frozenset(), known=frozenset())
    assert (caught.value.field, caught.value.code) == ("a", "number_out_of_range")


@pytest.mark.parametrize("number", ["0", "-0", "1.5e3", "9223372036854775807", "1e308", "-1"])
def test_a_number_that_fits_passes(number: str) -> None:
    members = decode_members(f'{{"a":{number}}}'.encode())
    check_unchecked(members, checked=frozenset(), known=frozenset())


@pytest.mark.parametrize("name", ["Max_Tokens", "STREAM", "ſtream", "\u212aey"])
def test_a_name_that_imitates_a_known_one_is_refused(name: str) -> None:
    known = frozenset({"max_tokens", "stream", "key"})
    with pytest.raises(BadRequest, match="has to be written"):
        check_unchecked(decode_members(compact({name: 1})), checked=frozenset(), known=known)


CROWDED = {
    "numbers": b"0," * (MAX_ELEMENTS + 1) + b"0",
    "objects": b"{}," * MAX_ELEMENTS + b"{}",
    "lists within lists": b"[[[[[[[[[]]]]]]]]]," * (MAX_ELEMENTS // 9) + b"[]",
    "texts": b'"",' * (MAX_ELEMENTS + 1) + b'""',
    "texts that hide quotes": b'"\\\\","\\"",' * (MAX_ELEMENTS // 2 + 1) + b'""',
}


@pytest.mark.parametrize("kind", CROWDED)
def test_a_huge_body_of_tiny_elements_is_refused_before_it_is_built(kind: str) -> None:
    with pytest.raises(BadRequest, match="more than 100,000 elements") as caught:
        decode_members(b'{"a":[' + CROWDED[kind] + b"]}")
    assert caught.value.code == "too_many_elements"


@pytest.mark.parametrize("text", ["x", ",", "{", "[,", '",', "\\,", '\\",[{'])
def test_a_huge_body_of_one_text_passes(text: str) -> None:
    body = compact({"a": text * 3 * MAX_ELEMENTS})
    assert bytes(decode_members(body)["a"]) == body[5:-1]
