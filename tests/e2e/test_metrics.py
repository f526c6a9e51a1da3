"""What Prometheus is told, and what the access log tells, of requests that are known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from chains import CHAINS
from clients import Clients, connect, frame, refused
from patience import PATIENCE_S
from scrape import Scraped, scrape, targets
from whole_mesh import WholeMesh, until
from zipkin import Traced

from hydro.manager.v1 import manager_service_pb2

pytestmark = pytest.mark.e2e

STAGES = CHAINS["two"]


@pytest.fixture
async def clients(traced: Traced) -> AsyncIterator[Clients]:
    async with connect(traced.mesh) as connected:
        await until(lambda: len(targets(traced.mesh)) == 4, PATIENCE_S, "all parts are targets")
        yield connected


async def scraped(mesh: WholeMesh, holds: Callable[[Scraped], bool]) -> Scraped:
    """A scrape for which something holds: Envoy hands on what its threads counted now and then."""
    found: list[Scraped] = []

    def once() -> bool:
        found[:] = [scrape(mesh)]
        return holds(found[0])

    await asyncio.to_thread(lambda: asyncio.run(until(once, PATIENCE_S, "the numbers are right")))
    return found[0]


async def test_requests_are_counted_where_they_happen(traced: Traced, clients: Clients) -> None:
    assert (await clients.create("m-two", *STAGES)).status_code == 200
    before = await asyncio.to_thread(scrape, traced.mesh)
    await clients.answers("m-two", [{"text": "a"}, {"text": "raise no"}, {"text": "b"}])
    await clients.predictions.Predict(frame("m-two", "c"))
    assert (await clients.serve("m-two", b"no JSON")).status_code == 400
    gone = await refused(clients.predictions.Predict(frame("m-two", "pause"), timeout=0.6))
    assert gone.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await clients.serve("m-nobody", b"[]")).status_code == 404
    here = {"hydro_pipeline": "m-two"}
    found = await scraped(
        traced.mesh,
        lambda s: (
            s.value("envoy_hydro_requests_total", **here) == 3
            and s.value("envoy_hydro_unanswered_requests_total", **here) == 1
            and s.value("envoy_hydro_request_ms_count", **here) == 3
        ),
    )
    requests = {
        (s.labels["hydro_method"], s.labels["hydro_protocol"], s.labels["hydro_code"]): s.value
        for s in found.samples
        if s.name == "envoy_hydro_requests_total" and s.labels["hydro_pipeline"] == "m-two"
    }
    assert requests == {
        ("Serve", "http", "200"): 1,
        ("Serve", "http", "400"): 1,
        ("Predict", "grpc", "OK"): 1,
    }
    stage = {"pipeline": "m-two", "stage": STAGES[0], "model": "moody", "version": "1"}
    found = await scraped(
        traced.mesh, lambda s: s.value("hydro_stage_calls_total", **stage, code="CANCELLED") == 1
    )
    assert found.value("hydro_stage_calls_total", **stage, code="OK") == 2
    assert found.value("hydro_stage_calls_total", **stage, code="INVALID_ARGUMENT") == 1
    assert found.value("hydro_stage_failed_rows_total", **stage, reason="MODEL_FAILED") == 1
    assert found.value("hydro_stage_rows_total", **stage) == 4
    assert found.value("hydro_stage_seconds_count", **stage) == 2
    assert found.value("hydro_stage_calls_active", **stage) == 0
    assert found.value("hydro_stage_rows_total", pipeline="m-two", stage=STAGES[1]) == 3
    assert (
        found.value(
            "envoy_filter_chain_ext_proc_streams_started_total", **here, hydro_stage=STAGES[0]
        )
        >= 4
    )
    batches = found.value("hydro_model_batch_rows_count", model="length")
    assert batches > before.value("hydro_model_batch_rows_count", model="length")
    names = {s.labels.get("hydro_pipeline", s.labels.get("pipeline")) for s in found.samples}
    assert "m-nobody" not in names, "what does not exist makes no series"


async def test_the_manager_tells_of_the_mesh(traced: Traced, clients: Clients) -> None:
    listed = await clients.pipelines.ListPipelines(manager_service_pb2.ListPipelinesRequest())
    found = await scraped(
        traced.mesh,
        lambda s: s.value("hydro_pipelines", state="ready") == len(listed.pipelines),
    )
    service = {"service": "serving-customscikit"}
    assert found.value("hydro_endpoints", **service, ready="true") == 1
    assert 0 < found.value("hydro_lease_seconds", **service) <= 3
    assert found.value("hydro_service_models", **service, state="loaded") >= 1
    assert found.value("hydro_model_state", state="loaded") == found.value(
        "hydro_service_models", **service, state="loaded"
    )
    assert found.value("hydro_xds_connected", node="gateway", role="gateway") == 1
    wanted = {
        s.labels["type"]: s.value for s in found.samples if s.name == "hydro_xds_wanted_version"
    }
    got = {s.labels["type"]: s.value for s in found.samples if s.name == "hydro_xds_version"}
    assert {"cluster", "endpoints", "listener", "scope", "routes"} <= set(got)
    assert got == wanted
    assert found.value("hydro_xds_lacking_resources") == 0
    assert found.value("hydro_spans_total", outcome="dropped") == 0
    assert found.value("process_resident_memory_bytes") > 0


async def test_targets_are_told_in_a_file_and_by_the_manager(
    traced: Traced, clients: Clients
) -> None:
    request = manager_service_pb2.GetStatusRequest()
    status = await clients.pipelines.GetStatus(request)
    assert {t.instance: t.address for t in status.targets} == targets(traced.mesh)
    assert [(n.id, n.role, n.lacking, len(n.refused)) for n in status.nodes] == [
        ("gateway", "gateway", 0, 0)
    ]
    by_http = await clients.http.get(f"{traced.mesh.urls['manager']}/api/v1/status")
    assert [t["part"] for t in by_http.json()["targets"]] == [
        "envoy",
        "manager",
        "repository",
        "runtime",
    ]
    beyond = await clients.http.get(f"http://{targets(traced.mesh)['gateway']}/stats")
    assert beyond.status_code == 404


async def test_the_access_log_has_a_line_a_request_and_one_a_run_of_a_chain(
    traced: Traced, clients: Clients
) -> None:
    assert (await clients.create("l-two", *STAGES)).status_code == 200
    headers = {"content-type": "application/json", "x-api-key": "s3cret"}
    await clients.serve("l-two", [{"text": "a"}], headers=headers)
    await clients.predictions.Predict(frame("l-two", "b"))
    await clients.serve("l-two", b"no JSON")
    await until(lambda: len(lines(traced, "l-two")) == 6, PATIENCE_S, "six lines")
    found = lines(traced, "l-two")
    requests = [line for line in found if line["log"] == "request"]
    assert [(r["method"], r["protocol"], r["http_status"]) for r in requests] == [
        ("Serve", "http", 200),
        ("Predict", "grpc", 200),
        ("Serve", "http", 400),
    ]
    assert requests[1]["grpc_status"] == "OK"
    assert requests[0]["path"] == "/api/v1/serve/l-two"
    assert len({r["trace_id"] for r in requests}) == 3
    for request in requests:
        (chain,) = (
            line
            for line in found
            if line["log"] == "chain" and line["request_id"] == request["request_id"]
        )
        assert chain["trace_id"] == request["trace_id"]
        assert chain["stages"] == list(STAGES)
        assert 0 <= chain["duration_ms"] <= request["duration_ms"]
        if request["http_status"] == 200:
            assert 0 < int(chain["stage0_us"]) <= (request["duration_ms"] + 1) * 1000
            assert chain["last_stage_us"] > 0
            assert chain["upstream"].startswith("127.0.0.1:")
        else:
            assert chain["grpc_status"] == "INVALID_ARGUMENT"
            assert chain["details"] == f"failed_in_{STAGES[0]}"
            assert "upstream" not in chain
    traces = {r["trace_id"] for r in requests}

    def are_there() -> bool:
        return {each[0]["traceId"] for each in traced.zipkin.traces("l-two")} == traces

    await until(are_there, PATIENCE_S, "the traces")
    assert "s3cret" not in traced.access_log.read_text()


def lines(traced: Traced, pipeline: str) -> list[dict[str, Any]]:
    """Those of a pipeline, by time; the last of the file may be half written."""
    whole = traced.access_log.read_text().split("\n")[:-1]
    found = [line for line in map(json.loads, whole) if line.get("pipeline") == pipeline]
    return sorted(found, key=lambda line: str(line["time"]))
