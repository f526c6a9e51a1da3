"""Rate limits under the real Envoy: what is bad without them, and what is good with them."""

from __future__ import annotations

import asyncio

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from patience import PATIENCE_S
from policy_mesh import EXHAUSTED, OK, Policies, refused, until

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.policy import RateLimit

pytestmark = pytest.mark.e2e


async def test_a_rate_limit_refuses_what_is_too_much_and_says_how_long_to_wait(p: Policies) -> None:
    await p.chain("a", "b")
    assert await p.codes(10) == {OK: 10}, "without: everything gets through"
    await p.chain("a", "b", rate_limit=RateLimit(4, 3600.0))
    assert await p.codes(10) == {OK: 4, EXHAUSTED: 6}
    error = await p.error()
    assert error.details() == "pipeline 'p' takes 4 requests in 3600 s; try again in 900 s"
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    wait = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(wait) for detail in status.details)
    assert wait.retry_delay.ToSeconds() == 900
    answer = await p.serve()
    assert "takes 4 requests in 3600 s; try again in 900 s" in refused(answer, 429, 8)
    assert answer.headers["retry-after"] == "900"
    assert {d["@type"].rpartition(".")[2] for d in answer.json["details"]} == {
        "ErrorInfo",
        "RequestInfo",
        "RetryInfo",
    }


async def test_who_waits_as_long_as_told_gets_through(p: Policies) -> None:
    await p.chain("a", rate_limit=RateLimit(2, 2.0))

    async def is_full() -> bool:  # three take longer than one's time on a slow machine
        return EXHAUSTED in await p.codes(3)

    await until(is_full)
    await asyncio.sleep(1.05)  # the time that the limit says
    assert await p.codes(1) == {OK: 1}


async def test_a_rate_limit_of_keys_keeps_one_from_taking_what_others_may_have(p: Policies) -> None:
    limit = RateLimit(5, 3600.0)
    await p.chain("a", rate_limit=limit)
    assert await p.codes(5, **{"x-api-key": "greedy"}) == {OK: 5}
    assert await p.codes(1, **{"x-api-key": "modest"}) == {EXHAUSTED: 1}, "without"
    await p.chain("a", rate_limit=RateLimit(5, 3601.0), rate_limit_per_api_key=RateLimit(3, 3600.0))
    assert await p.codes(9, **{"x-api-key": "greedy"}) == {OK: 3, EXHAUSTED: 6}
    assert await p.codes(2, **{"x-api-key": "modest"}) == {OK: 2}
    assert await p.codes(1, **{"x-api-key": "third"}) == {EXHAUSTED: 1}, "the pipeline's own limit"


async def test_requests_without_a_key_count_as_of_one(p: Policies) -> None:
    await p.chain("a", rate_limit_per_api_key=RateLimit(2, 3600.0))
    assert await p.codes(4) == {OK: 2, EXHAUSTED: 2}
    assert await p.codes(1, **{"x-api-key": "k"}) == {OK: 1}


async def test_retries_take_nothing_of_the_rate_limit(p: Policies) -> None:
    await p.chain("a", rate_limit=RateLimit(2, 3600.0))
    p.a.broken = 5
    assert await p.codes(3) == {OK: 2, EXHAUSTED: 1}


async def test_streams_and_requests_share_a_rate_limit(p: Policies) -> None:
    await p.chain("a", rate_limit=RateLimit(1, 3600.0))
    assert await p.codes(1) == {OK: 1}
    call = p.mesh.stub.PredictStream(timeout=PATIENCE_S)
    await call.write(Frame(pipeline="p", id="x"))
    with pytest.raises(aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() is EXHAUSTED
