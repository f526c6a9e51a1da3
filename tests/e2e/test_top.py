"""`hydro top`, as a program and in a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from chains import CHAINS
from clients import Clients, connect
from mesh_server import Manager as Pipelines
from patience import PATIENCE_S
from scrape import targets
from whole_mesh import environment, until, wait_until
from zipkin import Traced

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import manager_service_pb2_grpc as pb_grpc
from hydro_envoy.address import ANY_PORT, Address
from hydro_services import rpc
from hydro_services.top.watch import open_watch

pytestmark = pytest.mark.e2e

READY = grpc.ChannelConnectivity.READY
TOP = (sys.executable, "-m", "hydro_services.cli.main", "top")


@pytest.fixture
async def clients(traced: Traced) -> AsyncIterator[Clients]:
    async with connect(traced.mesh) as connected:
        await until(lambda: len(targets(traced.mesh)) == 4, PATIENCE_S, "all parts are targets")
        assert (await connected.create("top-two", *CHAINS["two"])).status_code == 200
        yield connected


async def asked(clients: Clients, until_done: asyncio.Event) -> None:
    while not until_done.is_set():
        await clients.answers("top-two", [{"text": "a"}, {"text": "raise no"}])


def seen(traced: Traced) -> dict[str, Any]:
    """The pipeline in `hydro top --once --json`, with its stages by name."""
    words = ("--once", "--json", "--interval=3", f"--manager={traced.mesh.address('manager')}")
    done = subprocess.run(
        [*TOP, *words], env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def seen_at_work(traced: Traced) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same, once requests ended in its interval, which need not be so on a slow machine; and
    the pipeline in it."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = seen(traced)
        pipeline = next(p for p in found["pipelines"] if p["pipeline"] == "top-two")
        if all(stage["rows_s"] for stage in pipeline["stages"]):
            return found, pipeline
        assert time.monotonic() < end, found


async def test_once_tells_programs_what_happens(traced: Traced, clients: Clients) -> None:
    done = asyncio.Event()
    asking = asyncio.create_task(asked(clients, done))
    found, pipeline = await asyncio.to_thread(seen_at_work, traced)
    done.set()
    await asking
    assert found["manager_away"] == ""
    assert pipeline["state"] == "ready"
    assert pipeline["requests_s"] > 0
    assert 0 < pipeline["p50_ms"] <= pipeline["p99_ms"]
    first, last = pipeline["stages"]
    assert (first["stage"], last["stage"]) == CHAINS["two"]
    assert first["failed_rows_s"] > 0 == last["failed_rows_s"]
    assert first["rows_s"] > last["rows_s"] > 0
    states = {(p["part"], p["state"]) for p in found["processes"]}
    assert states == {(part, "ready") for part in ("envoy", "manager", "repository", "runtime")}


def in_a_terminal(*words: str) -> tuple[subprocess.Popen[bytes], int]:
    """`hydro top`, and our end of its terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*TOP, *words, "--interval=0.5"],
        env=environment() | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
    )
    os.close(theirs)
    return process, ours


async def test_a_terminal_shows_it_until_q(traced: Traced, clients: Clients) -> None:
    process, ours = in_a_terminal(f"--manager={traced.mesh.address('manager')}")
    shown = b""

    def shows(text: bytes) -> bool:
        nonlocal shown
        shown += os.read(ours, 65536)
        return text in shown

    try:
        await asyncio.to_thread(wait_until, lambda: shows(b"top-two"), PATIENCE_S, "the pipeline")
        assert b"q quits" in shown
        os.write(ours, b"q")
        await asyncio.to_thread(wait_until, lambda: shows(b"\x1b[?1049l"), PATIENCE_S, "the end")
        assert await asyncio.to_thread(process.wait, 10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


class Manager(Pipelines):
    """Knows one part, which is nowhere."""

    async def GetStatus(self, request: Any, context: Any) -> pb.GetStatusResponse:
        target = pb.MetricsTarget(address="127.0.0.1:1", part="runtime", instance="gone")
        return pb.GetStatusResponse(targets=[target])


@contextlib.asynccontextmanager
async def manager(address: Address) -> AsyncIterator[Address]:
    def register(server: grpc.aio.Server) -> None:
        pb_grpc.add_ManagerServiceServicer_to_server(Manager(), server)  # type: ignore[abstract]

    async with rpc.serve(address, register, (), grace_s=0) as served:
        yield served.address


async def connected(channel: grpc.aio.Channel) -> None:
    while (state := channel.get_state(try_to_connect=True)) is not READY:
        await channel.wait_for_state_change(state)


async def test_who_is_away_is_shown_and_comes_back() -> None:
    async with manager(ANY_PORT) as address:
        pass
    channel, found = open_watch(address)
    async with channel:
        moment = await found.look()
        assert moment.view is None
        assert moment.away
        for _ in range(2):
            async with manager(address):
                await connected(channel)
                moment = await found.look()
                assert not moment.away
                assert moment.view
                assert [p.state for p in moment.view.processes] == ["does not answer"]
            moment = await found.look()
            assert moment.away
            assert moment.view, "what it told last is still shown"
