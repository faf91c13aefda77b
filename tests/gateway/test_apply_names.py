"""Aliases, last days and successors in a declaration: no name stands for two models."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.declaration import DeclarationError, apply, export
from gateway.models import Model

pytestmark = pytest.mark.django_db


def two(fields: str) -> str:
    bounds = "context_window: 1000, max_output_tokens: 100"
    return f"models:\n  - {{name: new, {bounds}}}\n  - {{name: old, {bounds}, {fields}}}\n"


def refusal(fields: str) -> str:
    with pytest.raises(DeclarationError) as refused:
        apply(two(fields))
    ((line, message),) = refused.value.problems
    assert line == 3
    return message


def test_other_names_and_a_last_day_are_kept_and_exported() -> None:
    apply(two("aliases: [older, oldest], retires_at: 2027-01-31, successor: new"))
    old = Model.objects.get(name="old")
    assert (old.aliases, old.successor) == (["older", "oldest"], "new")
    assert old.retires_at == datetime(2027, 1, 31, tzinfo=UTC)
    assert apply(export()).changes == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ("aliases: [new]", "aliases: 'new' is a model's name already"),
        ("aliases: [old]", "aliases: 'old' is a model's name already"),
        ("successor: none", "successor: 'none' is neither another model in this file nor in the"),
        ("successor: old", "successor: 'old' is neither another model in this file nor in the"),
    ],
)
def test_a_name_of_two_models_is_refused(fields: str, sentence: str) -> None:
    assert refusal(fields).startswith(sentence)


def test_an_alias_of_a_model_in_the_database_is_taken() -> None:
    Model.objects.create(name="third", context_window=1, max_output_tokens=1, aliases=["3rd"])
    assert refusal("aliases: [3rd]") == "aliases: '3rd' is a model's name already"
