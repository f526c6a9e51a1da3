"""What is told of requests to the real Zipkin server, and by OpenTelemetry's protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from chains import CHAINS, started
from clients import Clients, connect, frame
from otlp import collector
from patience import PATIENCE_S
from whole_mesh import until
from zipkin import START_S, Span, Traced, Zipkin, tree

from hydro.serving.v1 import frame_pb2 as pb

pytestmark = pytest.mark.e2e

SPANS = 7
"""Gateway, its call, pipeline, and for each of two stages the call and the stage."""
STAGES = CHAINS["two"]
APART = CHAINS["endpointML"]
"""Stages in two processes, so that two sidecars are on the way."""
APART_SPANS = SPANS + 2 * len(APART)
"""For each of the stages also its sidecar and that one's call."""


@pytest.fixture
async def clients(traced: Traced) -> AsyncIterator[Clients]:
    async with connect(traced.mesh) as connected:
        yield connected


async def create(clients: Clients, *names: str) -> None:
    """Pipelines of the same two stages, so that each request has one of its own."""
    for name in names:
        response = await clients.create(name, *STAGES)
        assert response.status_code == 200, response.text


def check(spans: list[dict[str, Any]], pipeline: str, rows: str) -> tuple[Any, Any]:
    """The tree of a request through two stages; the spans of the stages."""
    gateway, [[call, [[chain, [first, last]]]]] = tree(spans)
    assert [s["name"] for s in (gateway, chain)] == ["gateway", f"pipeline {pipeline}"]
    assert [s["kind"] for s in (gateway, call, chain)] == ["SERVER", "CLIENT", "SERVER"]
    assert {s["tags"]["pipeline"] for s in (gateway, call, chain)} == {pipeline}
    stages = []
    for name, (egress, [[stage, none]]) in zip(STAGES, (first, last), strict=True):
        assert not none
        assert (egress["kind"], stage["kind"]) == ("CLIENT", "SERVER")
        assert egress["tags"]["upstream_cluster"].startswith("serving-customscikit")
        assert stage["localEndpoint"]["serviceName"] == "serving-customscikit"
        assert stage["name"] == name
        model = {"model": name.partition("/")[2], "version": "1"}
        wanted = {"pipeline": pipeline, "stage": name, "rows": rows, **model}
        assert wanted.items() <= stage["tags"].items()
        assert egress["timestamp"] <= stage["timestamp"]
        stages.append(stage)
    return stages[0], stages[1]


async def test_a_request_is_one_trace_through_gateway_and_stages(
    traced: Traced, clients: Clients
) -> None:
    await create(clients, "t-json", "t-unary", "t-stream")
    rows = [{"text": "a"}, {"text": "bc"}]
    await clients.answers("t-json", rows)
    await clients.predictions.Predict(frame("t-unary", "a"))
    await stream(clients, *(frame("t-stream", text) for text in "abc"))
    for name, count in (("t-json", "2"), ("t-unary", "1"), ("t-stream", "3")):
        stages = check(await asyncio.to_thread(traced.zipkin.trace, name, SPANS), name, count)
        assert not any("error" in stage["tags"] for stage in stages)


async def stream(clients: Clients, *frames: pb.Frame) -> None:
    """Each answered before the next, over one call."""
    call = clients.predictions.PredictStream()
    for each in frames:
        await call.write(each)
        assert await call.read()
    await call.done_writing()
    assert not await call.read()


async def test_a_request_through_sidecars_is_one_trace(
    tmp_path: Path, zipkin_server: Zipkin, rows: list[dict[str, str]]
) -> None:
    words = ("--sidecars", f"--zipkin={zipkin_server.address}")
    services = [f"--runtime={stage.partition('/')[0]}" for stage in APART]
    mesh = await asyncio.to_thread(started, tmp_path, *words, *services)
    try:
        await until(zipkin_server.runs, START_S, "zipkin runs")
        async with connect(mesh) as clients:
            for name in ("s-json", "s-stream"):
                response = await clients.create(name, *APART)
                assert response.status_code == 200, response.text
            await clients.answers("s-json", rows)
            await stream(clients, *(texts("s-stream", row) for row in [*rows, rows[0]]))
        for name, count in (("s-json", "2"), ("s-stream", "3")):
            spans = await asyncio.to_thread(zipkin_server.trace, name, APART_SPANS)
            check_apart(spans, name, count)
    finally:
        await asyncio.to_thread(mesh.stop)


def texts(pipeline: str, row: dict[str, str]) -> pb.Frame:
    """A frame of one row."""
    found = pb.Frame(pipeline=pipeline, table=pb.Table(rows=1))
    for name, text in row.items():
        values = pb.Values(strings=[text])
        found.table.columns.add(name=name, type=pb.DATA_TYPE_STRING, values=values)
    return found


def check_apart(spans: list[Span], pipeline: str, rows: str) -> None:
    """Gateway, pipeline, and for each stage in order its sidecar and, below that, the stage."""
    gateway, [[call, [[chain, stages]]]] = tree(spans)
    assert len(spans) == APART_SPANS
    assert [s["name"] for s in (gateway, chain)] == ["gateway", f"pipeline {pipeline}"]
    assert {s["tags"]["pipeline"] for s in (gateway, call, chain)} == {pipeline}
    for name, (egress, [[ingress, [[inward, [[stage, none]]]]]]) in zip(APART, stages, strict=True):
        service, _, model = name.partition("/")
        assert [s["kind"] for s in (egress, ingress, inward, stage)] == ["CLIENT", "SERVER"] * 2
        assert egress["tags"]["upstream_cluster"].startswith(service)
        assert ingress["name"] == f"sidecar {name}"
        assert ingress["tags"]["node_id"] == f"{service}/{service}-1"
        assert {s["tags"]["pipeline"] for s in (ingress, inward)} == {pipeline}
        assert (stage["name"], stage["localEndpoint"]["serviceName"]) == (name, service)
        told = {"pipeline": pipeline, "stage": name, "model": model, "version": "1", "rows": rows}
        assert stage["tags"] == told
        assert not none


async def test_what_fails_in_a_stage_is_marked_there(traced: Traced, clients: Clients) -> None:
    await create(clients, "t-row", "t-call")
    _, failed = await clients.answers("t-row", [{"text": "a"}, {"text": "raise no"}])
    assert failed["error"]["reason"] == "MODEL_FAILED"
    assert (await clients.serve("t-call", b"no JSON")).status_code == 400
    spans = await asyncio.to_thread(traced.zipkin.trace, "t-row", SPANS)
    first, last = stages_of(spans)
    assert (first["tags"]["error"], first["tags"]["failed_rows"]) == ("MODEL_FAILED", "1")
    assert (last["tags"]["rows"], "error" in last["tags"]) == ("1", False)
    spans = await asyncio.to_thread(traced.zipkin.trace, "t-call", SPANS - 2)
    (only,) = stages_of(spans)
    assert only["name"] == STAGES[0]
    assert only["tags"]["error"].startswith("INVALID_ARGUMENT: malformed JSON")
    assert tree(spans)[0]["tags"]["http.status_code"] == "400"


def stages_of(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The spans that runtimes made, in the order of the chain."""
    found = [span for span in spans if "stage" in span["tags"]]
    return sorted(found, key=lambda span: STAGES.index(span["name"]))


async def test_the_client_decides_whether_it_is_traced_and_may_be_the_parent(
    traced: Traced, clients: Clients
) -> None:
    await create(clients, "t-mine", "t-not")
    headers = {"content-type": "application/json"}
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    for name, flags in (("t-not", "00"), ("t-mine", "01")):
        sent = headers | {"traceparent": f"00-{trace}-{parent}-{flags}"}
        assert (await clients.serve(name, [{"text": "a"}], headers=sent)).status_code == 200
    spans = await asyncio.to_thread(traced.zipkin.trace, "t-mine", SPANS)
    assert {span["traceId"] for span in spans} == {trace}
    assert tree(spans)[0]["parentId"] == parent
    assert traced.zipkin.traces("t-not") == []


async def test_opentelemetry_gets_the_same_tree(tmp_path: Path) -> None:
    async with collector() as (found, address):
        mesh = await asyncio.to_thread(
            started, tmp_path, f"--otlp={address}", "--runtime=serving-customscikit"
        )
        try:
            async with connect(mesh) as clients:
                await create(clients, "two")
                await clients.answers("two", [{"text": "raise no"}, {"text": "a"}])
            await until(
                lambda: len(spans_of(found.spans, "two")) == SPANS, PATIENCE_S, f"{SPANS} spans"
            )
        finally:
            await asyncio.to_thread(mesh.stop)
    spans = spans_of(found.spans, "two")
    assert len({span.trace_id for _, span in spans}) == 1
    by_id = {span.span_id: span for _, span in spans}
    first, last = (next(s for _, s in spans if s.name == name) for name in STAGES)
    for stage in (first, last):
        chain = by_id[by_id[stage.parent_span_id].parent_span_id]
        assert chain.name == "pipeline two"
        gateway = by_id[by_id[chain.parent_span_id].parent_span_id]
        assert (gateway.name, gateway.parent_span_id) == ("gateway", b"")
    tags = {a.key: a.value.string_value for a in first.attributes}
    assert {
        "pipeline": "two",
        "model": "moody",
        "version": "1",
        "rows": "2",
    }.items() <= tags.items()
    assert (first.status.code, first.status.message) == (2, "MODEL_FAILED")
    assert last.status.code == 0
    services = {service for service, _ in spans}
    assert services == {"hydro", "serving-customscikit"}


def spans_of(spans: list[Any], pipeline: str) -> list[Any]:
    """Those of the trace of a pipeline."""
    traces = {
        span.trace_id
        for _, span in spans
        for a in span.attributes
        if (a.key, a.value.string_value) == ("pipeline", pipeline)
    }
    return [each for each in spans if each[1].trace_id in traces]
