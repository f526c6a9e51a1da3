"""The size of a pipeline's messages under the real Envoy, and what passes a policy route."""

from __future__ import annotations

import asyncio
import json

import pytest
from meshes import pipeline
from patience import PATIENCE_S
from policy_mesh import EXHAUSTED, Policies, refused

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.mesh import Shadow, Traffic
from hydro_envoy.policy import RateLimit

pytestmark = pytest.mark.e2e


async def test_a_message_beyond_the_pipelines_size_is_refused(p: Policies) -> None:
    text = "x" * 20_000
    await p.chain("a", "b")
    assert len(await p.predict(text)) == 20_002
    await p.chain("a", "b", max_message_bytes=10_000)
    error = await p.error(text)
    large = "the message is too large for pipeline 'p'"
    assert (error.code(), error.details()) == (EXHAUSTED, large)
    assert large in refused(await p.serve(text.encode()), 413, 8)
    typed = await p.mesh.post("/api/v1/predict/p", json.dumps({"id": text}).encode())
    assert large in refused(typed, 413, 8)
    assert len(await p.predict("x" * 9_900)) == 9_902
    assert (await p.serve(b"x" * 10_000)).status == 200


async def test_streams_may_be_longer_than_a_message(p: Policies) -> None:
    await p.chain("a", max_message_bytes=1_000)
    call = p.mesh.stub.PredictStream(timeout=PATIENCE_S)
    for i in range(20):
        await call.write(Frame(pipeline="" if i else "p", id="x" * 900))
        assert len((await call.read()).id) == 901
    call.cancel()


async def test_many_large_requests_pass_a_front_at_once(p: Policies) -> None:
    """More than a connection's window: one for both levels would wait for itself."""
    shadow = Traffic(shadow=Shadow(pipeline("s", "a", "b").stages))
    await p.chain("a", "b", "a", timeout_s=90.0, traffic=shadow)
    text = "x" * 150_000
    answers = await asyncio.gather(*(p.predict(text) for _ in range(250)))
    assert {len(answer) for answer in answers} == {len(text) + 3}


async def test_clients_see_nothing_of_a_front(p: Policies) -> None:
    await p.chain("a", "b")
    plain = await p.serve()
    await p.chain("a", "b", rate_limit=RateLimit(1, 3600.0))
    fronted, limited = await p.serve(), await p.serve()
    assert fronted.headers.keys() == plain.headers.keys()
    assert not [name for name in limited.headers if name.startswith(("x-pipeline", "x-envoy-rate"))]
