"""The openai package, unmodified, with a key that a command made: a stream, a fact, a report."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from local.children import wait_until
from tests.journeys.test_first_call import REPORT_SECONDS, read_price
from tests.local.running import Run
from tests.prices import cost_of
from tests.product import manage, read_received, read_report, read_rows

MODEL = "gpt-4o"
QUESTION: Any = [{"role": "user", "content": "What is the answer?"}]


@pytest.fixture
def client(product: Run) -> Iterator[openai.OpenAI]:
    project, name = ("--project", "demo/default"), ("--name", "laptop")
    key = manage(product, "issue_key", *project, *name, "--plain").strip()
    client = openai.OpenAI(api_key=key, base_url=f"http://127.0.0.1:{product.port}/v1")
    # What the command has made the gateway learns in a moment, which a busy machine makes longer.
    assert wait_until(lambda: is_known(client), 10)
    with client:
        yield client


def is_known(client: openai.OpenAI) -> bool:
    try:
        return MODEL in {model.id for model in client.models.list()}
    except openai.AuthenticationError:
        return False


def test_a_stream_is_a_fact_to_the_token_and_reported_under_its_key(
    product: Run, client: openai.OpenAI
) -> None:
    with client.chat.completions.create(
        model=MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    usage = chunks[-1].usage
    assert usage is not None
    (receipt,) = [r for r in read_received(product) if r["id"] == chunks[0].id]
    assert receipt["usage"] == usage.model_dump(exclude_none=True)
    cost = cost_of(receipt["usage"], read_price(product, MODEL))
    assert find_line(product, client)["cost_ticks"] == cost
    (row,) = read_rows(
        product, "SELECT row_to_json(e)::text FROM usage_event e WHERE id = %s", receipt["call_id"]
    )
    fact = json.loads(row[0])
    assert (fact["outcome"], fact["usage_source"]) == ("answered", "reported")
    assert (fact["uncached_input"], fact["output"], fact["cost_ticks"]) == (
        usage.prompt_tokens,
        usage.completion_tokens,
        cost,
    )


def find_line(run: Run, client: openai.OpenAI) -> dict[str, Any]:
    """The line of the client's key in the report, within the promised time."""
    public_id = client.api_key.removeprefix("tg_")[:12]

    def find() -> list[dict[str, Any]]:
        lines = read_report(run, "demo", by="key")["lines"]
        return [line for line in lines if public_id in json.dumps(line)]

    assert wait_until(lambda: bool(find()), REPORT_SECONDS)
    return find()[0]


def test_what_is_wrong_is_raised_as_the_packages_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-99", messages=QUESTION)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=MODEL, messages=QUESTION, n=10**6)
    assert bad.value.param == "n"
    with pytest.raises(openai.NotFoundError):
        client.images.generate(model=MODEL, prompt="A gate.")
    with pytest.raises(openai.AuthenticationError) as nobody:
        client.with_options(api_key=client.api_key + "x").models.list()
    assert nobody.value.code == "invalid_api_key"
