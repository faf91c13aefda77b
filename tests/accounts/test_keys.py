"""The text of a key: made, taken apart and refused when it was not copied whole."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import keys
from accounts.errors import MalformedKey

PEPPER = b"p" * 32
prefixes = st.text(keys.ALPHABET, min_size=1, max_size=keys.MAX_PREFIX_LENGTH)


@given(prefixes)
def test_a_new_key_is_taken_apart_into_what_it_was_made_of(prefix: str) -> None:
    new = keys.make_key(prefix)
    assert keys.parse(new.text, {prefix}) == (prefix, new.public_id)


def test_a_key_has_the_promised_form() -> None:
    new = keys.make_key("tg")
    assert re.fullmatch(r"tg_[0-9A-Za-z]{50}", new.text)
    assert new.text[3:15] == new.public_id


def test_the_checksum_is_the_crc32_of_all_before_it_in_base62() -> None:
    # CRC-32 of "123456789" is 0xCBF43926 by its published check value.
    assert keys.checksum("123456789") == "3jZRME"
    assert _decode("3jZRME") == 0xCBF43926


@given(st.integers(0, 52), st.characters(codec="utf-8"))
def test_one_wrong_character_is_always_refused(position: int, character: str) -> None:
    text = keys.make_key("tg").text
    if text[position] == character:
        return
    with pytest.raises(MalformedKey):
        keys.parse(text[:position] + character + text[position + 1 :], {"tg"})


@given(st.integers(0, 51))
def test_two_neighbours_that_changed_places_are_refused(position: int) -> None:
    text = keys.make_key("tg").text
    first, second = text[position], text[position + 1]
    if first == second:
        return
    with pytest.raises(MalformedKey):
        keys.parse(text[:position] + second + first + text[position + 2 :], {"tg"})


@given(st.text())
def test_any_other_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    with pytest.raises(MalformedKey):
        keys.parse(text, {"tg"})


def test_a_key_of_an_older_prefix_goes_on_working_and_a_foreign_one_does_not() -> None:
    old = keys.make_key("old")
    assert keys.parse(old.text, ("tg", "old")).public_id == old.public_id
    with pytest.raises(MalformedKey):
        keys.parse(old.text, ("tg",))


def test_the_refusal_holds_no_part_of_the_key() -> None:
    text = keys.make_key("tg").text
    with pytest.raises(MalformedKey) as refused:
        keys.parse(text + "x", {"tg"})
    assert text[3:9] not in str(refused.value)


def test_a_digest_depends_on_the_pepper_and_on_every_part_of_the_key() -> None:
    text = keys.make_key("tg").text
    mac = keys.digest(text, PEPPER)
    assert len(mac) == 32
    assert keys.matches(mac, text, PEPPER)
    assert not keys.matches(mac, text, b"q" * 32)
    assert not keys.matches(mac, "x" + text[1:], PEPPER)


def test_a_further_secret_of_a_key_keeps_its_public_id() -> None:
    first = keys.make_key("tg")
    second = keys.make_key("tg", public_id=first.public_id)
    assert second.public_id == first.public_id
    assert second.text != first.text


def test_a_new_key_does_not_show_its_secret_in_a_traceback() -> None:
    new = keys.make_key("tg")
    assert new.text[15:] not in repr(new)


@pytest.mark.parametrize("prefix", ["", "a_b", "ä", "x" * 17, "a b"])
def test_a_prefix_that_could_not_be_told_apart_is_an_error(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        keys.make_key(prefix)


def _decode(text: str) -> int:
    value = 0
    for character in text:
        value = value * 62 + keys.ALPHABET.index(character)
    return value


def test_a_key_in_a_text_is_cut_after_its_public_id() -> None:
    key = keys.make_key("tg")
    for text in (key.text, f"/v1/{key.text}/", f"{key.text}x", key.text[:-3], f'"{key.text}"'):
        hidden = keys.hide(f"in {text} it stands")
        assert f"tg_{key.public_id}…" in hidden
        assert key.text[-30:-6] not in hidden
    assert keys.hide("no_key at all: api_key_secret") == "no_key at all: api_key_secret"
