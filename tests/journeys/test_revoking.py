"""A key made by a command, and taken away from every gateway process within a second."""

import asyncio
import time
from datetime import UTC, datetime

import httpx2
import openai
import pytest

from local.children import wait_until
from tests.journeys.conftest import FLEET_WORKERS
from tests.lines import open_lines
from tests.local.running import Run
from tests.product import list_workers, manage, read_received, read_rows

REVOKED_SECONDS = 1.0
# What this machine's other work may add, to the command's own transaction as well: a key is revoked
# when that begins, and nobody can know before it ends.
NOISE_SECONDS = 1.0
PAUSE_SECONDS = 0.02


@pytest.fixture
def key(fleet: Run) -> str:
    project, name = ("--project", "demo/default"), ("--name", "ci")
    return manage(fleet, "issue_key", *project, *name, "--plain").strip()


async def ask_until(line: httpx2.AsyncClient, key: str, ended: asyncio.Event) -> list[float]:
    """Ask again and again; returns when each of the accepted requests was sent."""
    accepted, is_over = [], False
    while not is_over:
        is_over = ended.is_set()
        sent_at = time.time()
        answer = await line.get("/v1/models", headers={"authorization": f"Bearer {key}"})
        assert answer.status_code in (200, 401), answer.text
        if answer.status_code == 200:
            accepted.append(sent_at)
        await asyncio.sleep(PAUSE_SECONDS)
    return accepted


async def revoke_while_asked(run: Run, key: str) -> list[list[float]]:
    """By process, when it last accepted the key; each is asked for as long after the command as it
    may take to be known."""
    async with open_lines(f"http://127.0.0.1:{run.port}", list_workers(run)) as lines:
        ended = asyncio.Event()
        asking = [asyncio.create_task(ask_until(line, key, ended)) for (line,) in lines.values()]
        await asyncio.to_thread(manage, run, "revoke_key", key.removeprefix("tg_")[:12])
        await asyncio.sleep(REVOKED_SECONDS + NOISE_SECONDS)
        ended.set()
        return await asyncio.gather(*asking)


def test_it_works_at_once_and_is_refused_within_a_second_by_every_process(
    fleet: Run, key: str
) -> None:
    accepted = asyncio.run(revoke_while_asked(fleet, key))
    assert len(accepted) == FLEET_WORKERS
    assert all(accepted), "a process did not accept the key before"
    public_id = key.removeprefix("tg_")[:12]
    (row,) = read_rows(fleet, "SELECT revoked_at FROM api_key WHERE public_id = %s", public_id)
    assert isinstance(row[0], datetime)
    delays = [times[-1] - row[0].astimezone(UTC).timestamp() for times in accepted]
    assert max(delays) < REVOKED_SECONDS + NOISE_SECONDS


def test_a_revoked_key_gets_nothing_to_the_provider(fleet: Run, key: str) -> None:
    client = openai.OpenAI(api_key=key, base_url=f"http://127.0.0.1:{fleet.port}/v1")
    manage(fleet, "revoke_key", key.removeprefix("tg_")[:12])
    assert wait_until(lambda: is_refused(client), REVOKED_SECONDS + NOISE_SECONDS)
    before = len(read_received(fleet))
    with pytest.raises(openai.AuthenticationError) as refused:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "?"}])
    assert refused.value.code == "invalid_api_key"
    assert key not in str(refused.value)
    assert len(read_received(fleet)) == before


def is_refused(client: openai.OpenAI) -> bool:
    try:
        client.models.list()
    except openai.AuthenticationError:
        return True
    return False
