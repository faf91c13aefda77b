"""Completions and embeddings: bounded by every prompt and answer, and passed on as they are."""

import json
from typing import Any

import pytest

from gateway.bounds import bound, largest_cap_that_fits
from gateway.errors import BadRequest
from gateway.protocols import openai_completions as completions
from gateway.protocols import openai_embeddings as embeddings
from tests.gateway.test_bounds import Model, Route, price
from tests.wire.making import DONE, compact, event, make_stream, relay


def completion(**fields: Any) -> bytes:
    return compact({"model": "m", "prompt": "Hello", **fields})


def embedding(**fields: Any) -> bytes:
    return compact({"model": "m", "input": "Hello", **fields})


PROMPTS: list[tuple[Any, int]] = [
    ("one", 1),
    (["one", "two"], 2),
    ([1, 2, 3], 1),
    ([[1, 2], [3]], 2),
]


@pytest.mark.parametrize(("prompts", "count"), PROMPTS, ids=str)
def test_prompts_are_counted_however_they_are_written(prompts: Any, count: int) -> None:
    assert completions.read_request(completion(prompt=prompts)).prompts == count
    assert embeddings.read_request(embedding(input=prompts)).prompts == count


def test_every_answer_that_is_billed_is_bounded() -> None:
    read = completions.read_request(completion(prompt=["a", "b"], n=2, best_of=5))
    assert (read.prompts, read.answers) == (2, 10)
    assert completions.read_request(completion(prompt=None)).answers == 1


def test_without_a_cap_it_is_the_one_that_servers_take() -> None:
    sent = completions.read_request(completion())
    assert sent.output_cap == 16
    written = json.loads(completions.write_request(sent, upstream_model="up", output_cap=1000))
    assert written == {"model": "up", "prompt": "Hello", "max_tokens": 16}


def test_a_stream_is_asked_for_its_usage() -> None:
    sent = completions.read_request(completion(stream=True))
    written = json.loads(completions.write_request(sent, upstream_model="up", output_cap=None))
    assert written["stream_options"] == {"include_usage": True}


def test_a_stream_of_completions_passes_and_finishes() -> None:
    def chunk(text: str, reason: str | None = None) -> bytes:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
        return event({"id": "cmpl-1", "object": "text_completion", "choices": [choice]})

    stream = make_stream()
    pieces = [chunk("One"), chunk(" two"), chunk("", "stop"), DONE]
    assert relay(stream, *pieces) == b"".join(pieces)
    assert (stream.is_complete, stream.output_bytes) == (True, 7)


def test_embeddings_use_input_only_and_each_text_may_fill_a_window() -> None:
    sent = embeddings.read_request(embedding(input=["x" * 900, "y" * 900], dimensions=256))
    model = Model(context_window=1000, max_output_tokens=1, overhead_tokens=0)
    found = bound(sent, size_bytes=sent.size_bytes, model=model, route=Route())
    assert (found.input_tokens, found.output_tokens) == (sent.size_bytes, 0)
    many = embeddings.read_request(embedding(input=["x" * 9000]))
    assert bound(many, size_bytes=9000, model=model, route=Route()).input_tokens == 1000


def test_no_cap_makes_an_embedding_cheaper() -> None:
    sent = embeddings.read_request(embedding())
    found = bound(sent, size_bytes=50, model=Model(), route=Route())
    assert largest_cap_that_fits(found, price=price(), limit_ticks=10**12) is None


def test_vectors_pass_in_the_form_that_was_asked_for() -> None:
    sent = embeddings.read_request(embedding(encoding_format="base64"))
    written = json.loads(embeddings.write_request(sent, upstream_model="up"))
    assert written == {"model": "up", "input": "Hello", "encoding_format": "base64"}
    answer = embeddings.read_answer(compact({"data": [{"embedding": "AAAA"}], "error": None}))
    assert answer.is_answer
    assert not embeddings.read_answer(b'{"error":{"message":"no"}}').is_answer


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model"),
    ({"input": []}, "input"),
    ({"input": [[]]}, "input[0]"),
    ({"input": [True]}, "input[0]"),
    ({"input": {"text": "x"}}, "input"),
    ({"input": ["x"] * 2049}, "input"),
    ({"dimensions": "many"}, "dimensions"),
    ({"Input": "x"}, "Input"),
]


@pytest.mark.parametrize(("fields", "field"), BAD, ids=[str(fields)[:40] for fields, _ in BAD])
def test_a_bad_field_is_named_by_its_path(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        embeddings.read_request(embedding(**fields))
    assert caught.value.field == field
    same = {"Input": "Prompt", "input": "prompt"}
    asked = {same.get(name, name): value for name, value in fields.items()}
    if "dimensions" not in asked:
        with pytest.raises(BadRequest):
            completions.read_request(completion(**asked))
