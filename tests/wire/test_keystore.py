"""API keys in a real Consul."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from consul_agent import Agent, running
from patience import PATIENCE_S

from hydro_services.cli import main as cli
from hydro_services.security import keys, keystore
from hydro_services.security.keys import Key


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    started = Agent(tmp_path_factory.mktemp("consul"))
    with running(started):
        yield started


async def following(changes: AsyncGenerator[tuple[Key, ...]], *names: str) -> tuple[Key, ...]:
    """The keys, as soon as they are those of these callers."""
    async with asyncio.timeout(PATIENCE_S):
        async for found in changes:
            if sorted(key.name for key in found) == sorted(names):
                return found
    raise AssertionError("changes have no end")


async def run(*words: str) -> int:
    return await asyncio.to_thread(cli.main, ["keys", *words])


async def test_keys_of_consul_come_and_go_and_hold_while_it_is_away(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--keys", agent.registry, "--json")
    changes = keystore.watch_keys(agent.registry)
    assert await following(changes) == ()
    assert await run("create", "acme", "--pipelines", "p", *place) == 0
    secret = json.loads(capsys.readouterr().out)["key"]
    (key,) = await following(changes, "acme")
    assert (key.sha256, key.pipelines) == (keys.hash_key(secret), ("p",))
    assert agent.value(f"hydro/keys/{key.id}") == keys.to_record(key)
    agent.put("/v1/kv/hydro/keys/nonsense", b"{}")
    assert await run("create", "globex", *place) == 0
    await following(changes, "acme", "globex")
    agent.stop()
    assert await run("list", *place) == 1
    assert "Consul does not answer at" in capsys.readouterr().err
    waiting = asyncio.ensure_future(following(changes, "globex"))
    agent.start()
    await asyncio.to_thread(agent.wait_until_ready)
    assert not waiting.done()
    assert await run("revoke", "acme", *place) == 0
    await waiting
    capsys.readouterr()
    assert await run("list", *place) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == ["globex"]
    await changes.aclose()


def test_a_place_that_is_malformed_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["keys", "list", "--keys", "consul://:x"]) == 1
    assert "want 'consul://<host>:<port>'" in capsys.readouterr().err
