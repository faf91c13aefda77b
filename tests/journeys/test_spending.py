"""A key with fifty cents, four gateway processes, and sixty calls of a cent each at once."""

import asyncio
from collections import Counter
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion

from local.children import wait_until
from tests.journeys.conftest import FLEET_WORKERS
from tests.lines import open_lines
from tests.local.running import Run
from tests.prices import TICKS_PER_USD
from tests.product import apply, list_workers, manage, read_received, read_report, read_rows

MODEL = "demo-fixed-100"  # Says a hundred tokens, so that a call costs what was held for it.
CENT = TICKS_PER_USD // 100
SPENT_SECONDS = 20.0
DECLARATION: dict[str, Any] = {
    "models": [
        {
            "name": MODEL,
            "context_window": 128_000,
            "max_output_tokens": 4096,
            "routes": [{"provider": "demo-openai", "model": MODEL}],
            "price": {"input": "0", "output": "100.00", "effective": "2026-01-01"},
        }
    ],
    "organizations": [
        {
            "slug": "acme",
            "name": "Acme",
            "projects": [
                {
                    "slug": "default",
                    "keys": [
                        {
                            "name": "spender",
                            "quotas": [{"unit": "cost", "limit": "0.50", "window": "lifetime"}],
                        }
                    ],
                }
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def spender(fleet: Run) -> str:
    return apply(fleet, DECLARATION)["spender"]


@pytest.fixture(scope="module")
def outcomes(fleet: Run, spender: str) -> list[Any]:
    """What sixty unmodified clients were told, fifteen at each process, all at once."""
    return asyncio.run(call_sixty_times(fleet, spender))


async def call_sixty_times(run: Run, key: str) -> list[Any]:
    url, workers = f"http://127.0.0.1:{run.port}", list_workers(run)
    assert len(workers) == FLEET_WORKERS
    async with open_lines(url, workers, each=15) as lines:
        clients = [
            openai.AsyncOpenAI(api_key=key, base_url=f"{url}/v1", http_client=line)
            for some in lines.values()
            for line in some
        ]
        await asyncio.gather(*(until_known(some[0], key) for some in lines.values()))
        outcomes = await asyncio.gather(*map(call, clients), return_exceptions=True)
        # What lies idle at another process is given back in a moment. Where this machine has other
        # work just then whoever asks again gets it; nobody gets more than there is.
        async with asyncio.timeout(SPENT_SECONDS):
            while sum(isinstance(each, ChatCompletion) for each in outcomes) < 50:
                for n, outcome in enumerate(outcomes):
                    if isinstance(outcome, openai.APIStatusError):
                        (outcomes[n],) = await asyncio.gather(
                            call(clients[n]), return_exceptions=True
                        )
        return outcomes


async def until_known(line: httpx2.AsyncClient, key: str) -> None:
    """Return when the process at the other end has heard of the model and of the quota."""
    headers = {"authorization": f"Bearer {key}"}
    async with asyncio.timeout(SPENT_SECONDS):
        for path, known in (("/v1/models", MODEL), ("/v1/me", '"lifetime"')):
            while known not in (await line.get(path, headers=headers)).text:
                await asyncio.sleep(0.05)


async def call(client: openai.AsyncOpenAI) -> ChatCompletion:
    answer: ChatCompletion = await client.chat.completions.create(**ask())
    return answer


def ask() -> dict[str, Any]:
    messages = [{"role": "user", "content": "Spend a cent."}]
    return {"model": MODEL, "messages": messages, "max_tokens": 100}


def test_exactly_fifty_pass_and_ten_are_refused(outcomes: list[Any]) -> None:
    kinds = Counter(type(outcome).__name__ for outcome in outcomes)
    assert kinds == {"ChatCompletion": 50, "RateLimitError": 10}


def test_the_provider_received_exactly_fifty(fleet: Run, outcomes: list[Any]) -> None:
    received = [receipt for receipt in read_received(fleet) if receipt["model"] == MODEL]
    assert len(received) == 50
    assert all(receipt["usage"]["completion_tokens"] == 100 for receipt in received)


def test_the_refused_are_told_which_quota_how_it_stands_and_who_can_raise_it(
    outcomes: list[Any],
) -> None:
    refusals = [each for each in outcomes if isinstance(each, openai.RateLimitError)]
    for refusal in refusals:
        assert refusal.code == "insufficient_quota"
        assert refusal.response.headers["x-should-retry"] == "false"
        assert "The lifetime cost quota of key 'spender' has no room" in refusal.message
        assert "limit $0.50" in refusal.message
        assert "It can be raised by an owner or admin of the organization." in refusal.message
        assert str(refusal.request_id) in refusal.message


def test_the_whole_budget_is_spent_and_not_a_tick_more(
    fleet: Run, spender: str, outcomes: list[Any]
) -> None:
    query = (
        "SELECT w.posted, w.overrun, w.drawn, q.limit FROM quota_window w"
        " JOIN quota q ON q.id = w.quota_id WHERE q.scope = 'key'"
    )
    wanted = [(50 * CENT, 0, 0, 50 * CENT)]
    assert wait_until(lambda: read_rows(fleet, query) == wanted, 10)
    assert wait_until(lambda: read_report(fleet, "acme")["total"]["calls"] == 50, 10)
    assert read_report(fleet, "acme")["total"]["cost_usd"] == "0.50"
    assert manage(fleet, "check_ledger").startswith("Differences: none.")


def test_a_key_that_is_spent_still_sees_models_and_how_it_stands(
    fleet: Run, spender: str, outcomes: list[Any]
) -> None:
    client = openai.OpenAI(api_key=spender, base_url=f"http://127.0.0.1:{fleet.port}/v1")
    assert MODEL in {model.id for model in client.models.list()}
    assert client.models.retrieve(MODEL).id == MODEL
