"""Each policy under the real Envoy: what is bad without it, and what is good with it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import grpc
import pytest
from echo_runtime import EchoRuntime
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from meshes import MAX_MESSAGE_BYTES, pipeline
from policy_mesh import LIMIT_S, Policies, refused, until

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.mesh import (
    Pipeline,
    Policy,
    RateLimit,
    Retry,
    Shadow,
    StagePolicy,
    Traffic,
    Variant,
)
from hydro_envoy.resources import routes
from hydro_envoy.snapshot import Ref, ResourceType
from hydro_envoy.xds import hub

pytestmark = pytest.mark.e2e


OK = grpc.StatusCode.OK
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DEADLINE = grpc.StatusCode.DEADLINE_EXCEEDED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


# ---- rate limits


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
    assert await p.codes(3) == {OK: 2, EXHAUSTED: 1}
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
    call = p.mesh.stub.PredictStream(timeout=LIMIT_S)
    await call.write(Frame(pipeline="p", id="x"))
    with pytest.raises(aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() is EXHAUSTED


# ---- timeouts


@pytest.mark.parametrize("stage", ["middle", "last"])
async def test_a_timeout_ends_what_hangs(p: Policies, stage: str) -> None:
    chain = ("a", "b") if stage == "last" else ("b", "a")
    p.b.hold.clear()
    await p.chain(*chain)
    with pytest.raises(aio.AioRpcError, match="DEADLINE_EXCEEDED"):
        await p.mesh.stub.Predict(Frame(pipeline="p"), timeout=1.5)
    await p.chain(*chain, timeout_s=0.3)
    error = await p.error()
    assert (error.code(), error.details()) == (
        DEADLINE,
        "pipeline 'p' did not answer within its time limit",
    )
    assert "within its time limit" in refused(await p.serve(), 504, 4)
    p.b.hold.set()
    assert await p.codes(1) == {OK: 1}


async def test_a_timeout_leaves_streams_alone(p: Policies) -> None:
    await p.chain("a", "b", timeout_s=0.3)
    call = p.mesh.stub.PredictStream(timeout=LIMIT_S)
    await call.write(Frame(pipeline="p", id="1"))
    assert (await call.read()).id == "1AB"
    await asyncio.sleep(0.6)  # longer than the limit
    await call.write(Frame(id="2"))
    assert (await call.read()).id == "2AB"
    call.cancel()


# ---- retries


async def test_retries_hide_a_stage_that_fails_for_a_moment(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(0))
    p.b.broken = 2
    assert await p.codes(4) == {UNAVAILABLE: 2, OK: 2}
    await p.chain("a", "b", retry=Retry(3))
    p.b.broken = 2
    assert await p.codes(4) == {OK: 4}
    p.b.broken = 3
    assert (await p.serve()).status == 200


async def test_retries_end_when_they_are_used_up(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(3))
    p.b.broken = 1000
    assert (await p.error()).code() is UNAVAILABLE
    assert 1000 - p.b.broken == 4, "the gateway adds none of its own"


async def test_without_retries_a_dead_stage_is_unavailable_at_once(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(0))
    await p.b.stop()
    error = await p.error()
    assert error.code() is UNAVAILABLE
    assert "stage b/m-b:1 of pipeline 'p' is unavailable" in str(error.details())


async def test_what_was_refused_is_not_sent_again(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(3))
    assert (await p.error("fail")).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(p.a.seen) == 1


async def test_what_is_too_much_to_keep_is_not_sent_again(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(3))
    body = b"x" * (MAX_MESSAGE_BYTES + 2_000_000)
    assert (await p.serve(body)).status == 200
    p.b.broken = 1
    assert refused(await p.serve(body), 503, 14) == "B is ill"
    p.b.broken = 1
    assert (await p.serve(body[: MAX_MESSAGE_BYTES // 2])).status == 200


async def test_nothing_is_sent_again_after_the_first_answer(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(3))
    call = p.mesh.stub.PredictStream(timeout=LIMIT_S)
    await call.write(Frame(pipeline="p", id="1"))
    assert (await call.read()).id == "1AB"
    await p.b.stop()
    with pytest.raises(aio.AioRpcError):
        await call.read()
    assert len(p.a.seen) == 1


async def test_a_try_that_hangs_is_made_again_elsewhere(p: Policies) -> None:
    p.b.hold.clear()
    async with EchoRuntime("B") as well:
        wanted = replace(pipeline("p", "a", "b"), policy=Policy(timeout_s=1.0))
        turns = StagePolicy(lb_policy="round_robin")
        stages = (wanted.stages[0], replace(wanted.stages[1], policy=turns))
        wanted = replace(wanted, stages=stages)
        await p.use(wanted, b=(p.b, well))
        assert (await p.codes(4))[DEADLINE] == 2, "without: whoever meets it fails"
        retry = Retry(3, per_try_timeout_s=0.3)
        await p.use(replace(wanted, policy=Policy(timeout_s=5.0, retry=retry)), b=(p.b, well))
        assert await p.codes(4) == {OK: 4}


# ---- sizes


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
    call = p.mesh.stub.PredictStream(timeout=LIMIT_S)
    for i in range(20):
        await call.write(Frame(pipeline="" if i else "p", id="x" * 900))
        assert len((await call.read()).id) == 901
    call.cancel()


# ---- stages


def with_stage(wanted: Pipeline, index: int, policy: StagePolicy) -> Pipeline:
    stages = list(wanted.stages)
    stages[index] = replace(stages[index], policy=policy)
    return replace(wanted, stages=tuple(stages))


@pytest.mark.parametrize("index", [0, 1], ids=["first", "last"])
async def test_a_circuit_breaker_bounds_what_a_stage_has_to_do(p: Policies, index: int) -> None:
    stage = (p.a, p.b)[index]
    wanted = replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0)))
    stage.hold.clear()
    await p.use(wanted)
    calls = [asyncio.create_task(p.codes(1)) for _ in range(10)]
    await _seen(10, stage)
    stage.hold.set()
    assert sum(await asyncio.gather(*calls), Counter()) == {OK: 10}, "without: all wait"
    await p.use(with_stage(wanted, index, StagePolicy(max_requests=3)))
    stage.hold.clear()
    calls = [asyncio.create_task(p.codes(1)) for _ in range(10)]
    pending = set(calls)
    async with asyncio.timeout(LIMIT_S):
        while len(pending) > 4:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    stage.hold.set()
    codes = sum(await asyncio.gather(*calls), Counter())
    assert codes.total() == codes[EXHAUSTED] + codes[OK] == 10
    assert 3 <= codes[OK] <= 4, "Envoy's two workers may each let one in at the same moment"


async def test_a_circuit_breaker_of_one_pipeline_leaves_others_alone(p: Policies) -> None:
    async def answer_of_q(*breakers: str) -> grpc.StatusCode:
        """While `p` is full; both have the same limit."""
        wanted = [
            with_stage(
                replace(pipeline(name, "a", "b"), policy=Policy(retry=Retry(0))),
                1,
                StagePolicy(max_requests=3, breaker=breaker),
            )
            for name, breaker in zip("pq", breakers, strict=True)
        ]
        await p.use(*wanted)
        p.b.seen.clear()
        p.b.hold.clear()
        calls = [asyncio.create_task(p.codes(1)) for _ in range(3)]
        await _seen(3, p.b)
        other = asyncio.create_task(p.codes(1, "q"))
        full = "stage b/m-b:1 of pipeline 'p' has 3 requests under way, the limit of its circuit"
        assert full in refused(await p.serve(), 429, 8), "over HTTP too"
        await asyncio.wait([other], timeout=0.5)
        p.b.hold.set()
        assert sum(await asyncio.gather(*calls), Counter()) == {OK: 3}
        (found,) = await other
        return found

    assert await answer_of_q("", "") is EXHAUSTED, "without: one counts for both"
    assert await answer_of_q("p", "q") is OK


@pytest.mark.parametrize("index", [0, 1], ids=["first", "last"])
async def test_a_dead_process_behind_a_circuit_breaker_costs_no_request(
    p: Policies, index: int
) -> None:
    wanted = with_stage(pipeline("p", "a", "b"), index, StagePolicy(max_requests=50))
    letter = "AB"[index]
    async with EchoRuntime(letter) as dying:
        both = {letter.lower(): ((p.a, p.b)[index], dying)}
        await p.use(wanted, **both)
        assert await p.codes(10) == {OK: 10}
        assert dying.seen
        await dying.stop()
        assert await p.codes(40) == {OK: 40}


@pytest.mark.parametrize("index", [0, 1], ids=["first", "last"])
async def test_where_all_are_dead_the_answer_names_the_stage(p: Policies, index: int) -> None:
    wanted = with_stage(
        replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0))),
        index,
        StagePolicy(max_requests=50),
    )
    async with EchoRuntime("X") as dying:
        await p.use(wanted, **{"ab"[index]: (dying,)})
        assert await p.codes(1) == {OK: 1}
        await dying.stop()
        name = ("a/m-a:1", "b/m-b:1")[index]
        assert f"stage {name} of pipeline 'p' is unavailable" in refused(await p.serve(), 503, 14)


async def _seen(calls: int, *runtimes: EchoRuntime) -> None:
    async def holds() -> bool:
        return sum(len(runtime.seen) for runtime in runtimes) >= calls

    await until(holds)


async def test_a_new_policy_of_a_stage_cuts_no_stream(p: Policies) -> None:
    wanted = pipeline("p", "a", "b")
    await p.use(with_stage(wanted, 0, StagePolicy(max_requests=3)))
    call = p.mesh.stub.PredictStream(timeout=LIMIT_S)
    for i in range(4):
        await call.write(Frame(pipeline="" if i else "p", id=str(i)))
        assert (await call.read()).id == f"{i}AB"
        await p.use(with_stage(wanted, 0, StagePolicy(max_requests=4 + i)))
        assert await p.predict() == "xAB"
    await call.done_writing()
    assert await call.read() is aio.EOF


async def test_what_a_policy_leaves_behind_goes_when_its_last_stream_ends(
    p: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "UNUSED_S", 0.5)
    monkeypatch.setattr(hub, "LOOK_S", 0.2)
    wanted = pipeline("p", "a", "b")

    def retiring() -> frozenset[str]:
        return p.mesh.hub.retiring()

    async def is_empty() -> bool:
        return not retiring()

    await p.use(with_stage(wanted, 0, StagePolicy(max_requests=3)))
    call = p.mesh.stub.PredictStream(timeout=LIMIT_S)
    await call.write(Frame(pipeline="p", id="0"))
    assert (await call.read()).id == "0AB"
    await p.use(with_stage(wanted, 0, StagePolicy(max_requests=4)))
    (used,) = retiring()
    for most in range(5, 8):  # what nothing uses goes meanwhile, what the stream uses stays
        await p.use(with_stage(wanted, 0, StagePolicy(max_requests=most)))

    async def is_alone() -> bool:
        return retiring() == {used}

    await until(is_alone)
    await asyncio.sleep(1.0)
    assert retiring() == {used}
    await call.write(Frame(id="1"))
    assert (await call.read()).id == "1AB"
    await call.done_writing()
    assert await call.read() is aio.EOF
    await until(is_empty)
    assert await p.predict() == "xAB"


async def test_outlier_detection_leaves_out_a_process_that_fails(p: Policies) -> None:
    wanted = replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0)))
    never = StagePolicy(lb_policy="round_robin", max_ejection_percent=0)
    soon = replace(
        never, consecutive_gateway_failure=2, base_ejection_time_s=60.0, max_ejection_percent=50
    )
    async with EchoRuntime("B") as ill:
        ill.broken = 1000
        await p.use(with_stage(wanted, 1, never), b=(p.b, ill))
        await p.codes(20)
        assert (await p.codes(10))[UNAVAILABLE] == 5, "without: half of all fail for ever"
        await p.use(with_stage(wanted, 1, soon), b=(p.b, ill))
        await p.codes(10)
        asked = len(ill.seen)
        await p.checked(ill, 24)  # by six clusters
        assert await p.codes(10) == {OK: 10}, "its health checks are well"
        assert len(ill.seen) == asked


async def test_outlier_detection_takes_back_who_is_well_again(p: Policies) -> None:
    wanted = replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0)))
    soon = StagePolicy(consecutive_gateway_failure=2, base_ejection_time_s=0.2, interval_s=0.1)
    async with EchoRuntime("C") as ill:
        ill.broken = 4
        await p.use(with_stage(wanted, 1, soon), b=(p.b, ill))

        async def both_serve() -> bool:
            answers = await asyncio.gather(*(p.codes(1) for _ in range(10)))
            return len(ill.seen) > 4 and sum(answers, Counter()) == {OK: 10}

        await until(both_serve)


async def test_outlier_detection_never_leaves_out_the_only_process(p: Policies) -> None:
    wanted = replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0)))
    soon = StagePolicy(consecutive_gateway_failure=1, base_ejection_time_s=60.0)
    await p.use(with_stage(wanted, 1, soon))
    p.b.broken = 5
    assert await p.codes(10) == {UNAVAILABLE: 5, OK: 5}


async def test_load_goes_where_the_policy_says(p: Policies) -> None:
    async with EchoRuntime("C") as other:
        await p.use(pipeline("p", "b"), b=(p.b, other))
        p.b.hold.clear()
        there = len(p.b.seen) + len(other.seen) + 8
        slow = [asyncio.create_task(p.predict()) for _ in range(8)]
        await _seen(there, p.b, other)
        before = len(p.b.seen)
        answers = [asyncio.create_task(p.predict()) for _ in range(20)]
        await asyncio.wait(answers, timeout=1.0)
        busy = len(p.b.seen) - before
        p.b.hold.set()
        await asyncio.gather(*slow, *answers)
        assert busy <= 12, "least request: the busy one gets few"
        turns = with_stage(pipeline("p", "b"), 0, StagePolicy(lb_policy="round_robin"))
        await p.use(turns, b=(p.b, other))
        counts = Counter([await p.predict() for _ in range(20)])
        assert counts == {"xB": 10, "xC": 10}


# ---- fronts


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


# ---- variants


def canary(weight: int, **more: Any) -> Traffic:
    return Traffic((Variant("canary", pipeline("c", "b").stages, weight, **more),))


async def test_a_canary_gets_its_share(p: Policies) -> None:
    await p.chain("a")
    assert {await p.predict() for _ in range(20)} == {"xA"}
    await p.chain("a", traffic=canary(30))
    counts = Counter([await p.predict() for _ in range(300)])
    assert 50 < counts["xB"] < 130
    assert counts["xA"] + counts["xB"] == 300
    await p.chain("a", traffic=canary(100))
    assert {await p.predict() for _ in range(20)} == {"xB"}
    answer = await p.serve()
    assert (answer.body, answer.headers["x-hydro-variant"]) == (b"xB", "canary")


async def test_changing_a_weight_changes_one_resource_and_no_stream(p: Policies) -> None:
    await p.chain("a", traffic=canary(0))
    call = p.mesh.stub.PredictStream(timeout=LIMIT_S)
    await call.write(Frame(pipeline="p", id="1"))
    assert (await call.read()).id == "1A"
    before = p.mesh.hub.snapshot
    await p.chain("a", traffic=canary(100))
    after = p.mesh.hub.snapshot
    changed = [
        Ref(t, n)
        for t in ResourceType
        for n in {*before.resources[t], *after.resources[t]}
        if before.get(Ref(t, n)) != after.get(Ref(t, n))
    ]
    assert changed == [Ref(ResourceType.ROUTES, "pipeline/p")]
    assert await p.predict() == "xB"
    await call.write(Frame(id="2"))
    assert (await call.read()).id == "2A"
    await p.chain("a")
    await call.write(Frame(id="3"))
    assert (await call.read()).id == "3A", "nor does taking the canary away"
    await call.done_writing()
    assert await call.read() is aio.EOF


async def test_turning_policies_on_and_off_fails_no_request(p: Policies) -> None:
    await p.chain("a")
    done, codes = asyncio.Event(), Counter[grpc.StatusCode]()

    async def load() -> None:
        while not done.is_set():
            codes.update(await p.codes(1))

    loads = [asyncio.create_task(load()) for _ in range(4)]
    for i in range(10):
        await p.chain("a", traffic=canary(10 + i), retry=Retry(0))
        await p.chain("a", "b")
        await p.chain("a")
    done.set()
    await asyncio.gather(*loads)
    assert codes.keys() == {OK}


async def test_a_header_chooses_a_variant(p: Policies) -> None:
    await p.chain("a", traffic=canary(0, headers=(("x-team", "risk"),)))
    assert await p.predict() == "xA"
    assert await p.predict(**{"x-team": "risk"}) == "xB"
    assert await p.predict(**{"x-team": "sales"}) == "xA"
    assert (await p.serve(headers={"X-Team": "risk"})).body == b"xB"


async def test_a_sticky_header_keeps_a_user_on_one_variant(p: Policies) -> None:
    async def variants() -> list[int]:
        users = [str(i) for i in range(20)]
        return [len({await p.predict(**{"x-user": u}) for _ in range(10)}) for u in users]

    await p.chain("a", traffic=canary(50))
    assert max(await variants()) == 2, "without: users see both"
    await p.chain("a", traffic=replace(canary(50), sticky_header="x-user"))
    assert await variants() == [1] * 20
    users = {await p.predict(**{"x-user": str(i)}) for i in range(40)}
    assert users == {"xA", "xB"}


async def test_the_chain_of_a_variant_is_no_pipeline(p: Policies) -> None:
    await p.chain("a", traffic=canary(50), rate_limit=RateLimit(1, 3600.0))
    for name in ("p@main", "p@canary"):
        forged = (("x-hydro-pipeline", "p"),)
        with pytest.raises(aio.AioRpcError, match=f"no such pipeline: {name}") as raised:
            await p.mesh.stub.Predict(Frame(pipeline=name), timeout=LIMIT_S, metadata=forged)
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_pipeline_with_policies_that_is_deleted_leaves_nothing(p: Policies) -> None:
    await p.chain("a", traffic=canary(50), rate_limit=RateLimit(9))
    await p.mesh.use(pipelines=())
    await p.mesh.hub.applied(timeout_s=LIMIT_S)
    assert (await p.error()).code() is grpc.StatusCode.NOT_FOUND


# ---- shadows


async def test_a_shadow_gets_copies_and_its_answers_are_dropped_and_counted(p: Policies) -> None:
    await p.chain("a")
    assert await p.codes(10) == {OK: 10}
    assert not p.b.seen, "without: the new chain sees no traffic"
    await p.chain("a", traffic=Traffic(shadow=Shadow(pipeline("s", "a", "b").stages)))
    assert {await p.predict() for _ in range(10)} == {"xA"}
    assert (await p.serve()).body == b"xA"
    await _seen(11, p.b)
    assert p.b.seen[0]["x-hydro-pipeline"] == "p"
    await p.counted("vhost.p@shadow.route.p@shadow.", "upstream_rq_completed", 11)


async def test_a_shadow_gets_its_percentage(p: Policies) -> None:
    await p.chain("a", traffic=Traffic(shadow=Shadow(pipeline("s", "b").stages, 20)))
    assert await p.codes(100) == {OK: 100}
    await p.counted("cluster.shadows.", "upstream_rq_total", 1)
    assert 5 <= (await p.stats("cluster.shadows."))["upstream_rq_total"] <= 45


async def test_a_shadow_gets_the_messages_of_streams(p: Policies) -> None:
    await p.chain("a", traffic=Traffic(shadow=Shadow(pipeline("s", "b").stages)))
    call = p.mesh.stub.PredictStream(timeout=LIMIT_S)
    for i in range(3):
        await call.write(Frame(pipeline="" if i else "p", id=str(i)))
        assert (await call.read()).id == f"{i}A"
    await _seen(1, p.b)
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
