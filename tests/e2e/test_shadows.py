"""Shadows under the real Envoy: copies of requests whose answers are dropped."""

from __future__ import annotations

import pytest
from meshes import pipeline
from patience import PATIENCE_S
from policy_mesh import OK, Policies, until, until_seen

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.mesh import (
    Shadow,
    Traffic,
)
from hydro_envoy.resources import routes

pytestmark = pytest.mark.e2e


async def test_a_shadow_gets_copies_and_its_answers_are_dropped_and_counted(p: Policies) -> None:
    await p.chain("a")
    assert await p.codes(10) == {OK: 10}
    assert not p.b.seen, "without: the new chain sees no traffic"
    await p.chain("a", traffic=Traffic(shadow=Shadow(pipeline("s", "a", "b").stages)))
    assert {await p.predict() for _ in range(10)} == {"xA"}
    assert (await p.serve()).body == b"xA"
    await until_seen(11, p.b)
    assert p.b.seen[0]["x-hydro-pipeline"] == "p"
    await p.counted("vhost.p@shadow.route.p@shadow.", "upstream_rq_completed", 11)


async def test_a_shadow_gets_its_percentage(p: Policies) -> None:
    await p.chain("a", traffic=Traffic(shadow=Shadow(pipeline("s", "b").stages, 20)))
    assert await p.codes(100) == {OK: 100}
    await p.counted("cluster.shadows.", "upstream_rq_total", 1)
    assert 5 <= (await p.stats("cluster.shadows."))["upstream_rq_total"] <= 45


async def test_a_shadow_gets_the_messages_of_streams(p: Policies) -> None:
    await p.chain("a", traffic=Traffic(shadow=Shadow(pipeline("s", "b").stages)))
    call = p.mesh.stub.PredictStream(timeout=PATIENCE_S)
    for i in range(3):
        await call.write(Frame(pipeline="" if i else "p", id=str(i)))
        assert (await call.read()).id == f"{i}A"
    await until_seen(1, p.b)
    call.cancel()


@pytest.mark.parametrize("how", ["dead", "ill", "hung"])
async def test_a_shadow_that_fails_hurts_nobody(
    p: Policies, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "SHADOW_LIMIT", routes.SHADOW_LIMIT / 60)
    if how == "dead":
        await p.b.stop()
    elif how == "ill":
        p.b.broken = 1000
    else:
        p.b.hold.clear()
    await p.chain("a", traffic=Traffic(shadow=Shadow(pipeline("s", "a", "b").stages)))
    assert await p.codes(200) == {OK: 200}

    async def ended() -> bool:
        return not (await p.stats("cluster.shadows."))["upstream_rq_active"]

    await until(ended)
    p.b.hold.set()
