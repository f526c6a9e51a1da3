"""What changes under traffic: pipelines, processes, the control plane and Envoy itself."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import grpc
import pytest
from control_mesh import ControlMesh, predict, predict_error
from echo_runtime import EchoRuntime
from grpc import aio
from meshes import HOST, backend, pipeline
from patience import PATIENCE_S
from whole_mesh import until

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.address import Address
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_envoy.proxy.find_envoy import find_envoy
from hydro_envoy.proxy.process import Envoy
from hydro_envoy.resources.builder import pipeline_ref

pytestmark = pytest.mark.e2e


async def test_pipelines_come_change_and_go_while_streams_keep_their_chain(
    two: ControlMesh,
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        call = two.stub.PredictStream()
        await call.write(Frame(pipeline="ab", id="1"))
        assert (await call.read()).id == "1AB"
        await two.use(pipelines=(pipeline("ab", "b"), pipeline("new", "b", "b")))
        assert await predict(two, "ab", "x") == "xB"
        assert await predict(two, "new", "x") == "xBB"
        await two.use(pipelines=(pipeline("new", "b"),), backends=two.mesh.backends[1:])
        assert (await predict_error(two, "ab", "x"))[0] is grpc.StatusCode.NOT_FOUND
        await call.write(Frame(id="2"))
        assert (await call.read()).id == "2AB", "the stream under way keeps its old chain"
        await call.done_writing()
        assert await call.read() is aio.EOF


async def test_a_process_that_moves_is_followed(two: ControlMesh) -> None:
    async with EchoRuntime("C") as moved:
        await two.use(backends=(backend("a", moved.endpoint), two.mesh.backends[1]))
        assert await predict(two, "ab", "x") == "xCB"


async def test_traffic_goes_on_while_the_ads_server_is_away_and_back(two: ControlMesh) -> None:
    await two.stop_ads()
    assert await predict(two, "ab", "x") == "xAB"
    await two.start_ads()
    await two.use(pipelines=(*two.mesh.pipelines, pipeline("later", "b")))
    assert await predict(two, "later", "x") == "xB"
    assert await predict(two, "ab", "x") == "xAB"


@pytest.mark.parametrize("which", [0, 1], ids=["first", "last"])
async def test_a_stage_that_restarts_fails_no_request(
    two: ControlMesh, runtime_a: EchoRuntime, runtime_b: EchoRuntime, which: int
) -> None:
    old = (runtime_a, runtime_b)[which]
    await predict(two, "ab", "x")
    await old.stop()
    waiting = [asyncio.create_task(predict(two, "ab", "x")) for _ in range(5)]
    await asyncio.sleep(0.3)  # the outage itself
    async with EchoRuntime(old.letter, old.endpoint.port):
        assert await asyncio.gather(*waiting) == ["xAB"] * 5


async def test_an_envoy_is_drained_and_leaves_nothing_behind(two: ControlMesh) -> None:
    assert two.envoy is not None
    call = two.stub.PredictStream()
    await call.write(Frame(pipeline="ab", id="1"))
    assert (await call.read()).id == "1AB"
    drained = asyncio.create_task(two.envoy.drain())
    await call.write(Frame(id="2"))
    assert (await call.read()).id == "2AB", "a call under way goes on while Envoy drains"
    await call.done_writing()
    assert await call.read() is aio.EOF
    await asyncio.wait_for(drained, PATIENCE_S)
    pid = two.envoy.pid
    await two.envoy.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_frozen_envoy_holds_up_nobody_and_catches_up(
    two: ControlMesh, tmp_path: Path
) -> None:
    assert await predict(two, "a", "x") == "xA"  # this connection stays: both have the same port
    wanted = Bootstrap("second", "gateway", Address(HOST, two.ads_port))
    second = Envoy(await find_envoy(), wanted, tmp_path / "second", concurrency=1, drain_s=1.0)
    await second.start()
    try:
        await second.ready(timeout_s=PATIENCE_S)
        await two.hub.wait_applied(timeout_s=PATIENCE_S)
        os.kill(second.pid, signal.SIGSTOP)
        await two.use(pipelines=(*two.mesh.pipelines, pipeline("ba", "b", "a")))
        assert await predict(two, "ba", "x") == "xBA"
        ref = pipeline_ref("ba")
        assert two.hub.lagging_nodes([ref]) == {ref: ("second",)}
        await until(
            lambda: [s.node.id for s in two.hub.nodes()] == ["e2e"], PATIENCE_S, "it is gone"
        )
        os.kill(second.pid, signal.SIGCONT)
        await until(lambda: len(two.hub.nodes()) == 2, PATIENCE_S, "it is back")
        await two.hub.wait_applied(timeout_s=PATIENCE_S)
        await until(lambda: two.hub.lagging_nodes([ref]) == {}, PATIENCE_S, "it has caught up")
    finally:
        os.kill(second.pid, signal.SIGCONT)
        await second.stop()
