"""Numbers that are kept, and how Prometheus gets them."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from hydro.serving.v1 import frame_pb2 as pb
from hydro_envoy.address import ANY_PORT, Address
from hydro_envoy.snapshot import Resource, ResourceType
from hydro_runtimes.columns import Columns
from hydro_services import errors, metrics
from hydro_services.manager.telemetry.metrics import version_number
from hydro_services.metrics import Buckets, Family
from hydro_services.runtime import counts, stage
from hydro_services.runtime.counts import Counts, Histogram
from hydro_services.runtime.observe import CallObserver
from hydro_services.runtime.stage import FrameInStage
from hydro_services.tracing import Exporter, Span

TOLD = {
    "x-hydro-pipeline": "p",
    "x-hydro-stage": "s/m",
    "x-hydro-model": "m:1@abc",
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
}


class Fixed(Collector):
    def __init__(self, *families: Family) -> None:
        self.families = families

    def collect(self) -> object:  # type: ignore[override]
        return map(metrics.to_metric, self.families)


def shown(family: Family) -> list[str]:
    registry = CollectorRegistry()
    registry.register(Fixed(family))
    return [line for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]


def test_a_value_counts_up_to_its_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.add(value)
    assert (histogram.counts, histogram.total) == ([2, 1, 1], 12.0)
    buckets = Buckets(histogram.bounds, histogram.counts, histogram.total)
    assert shown(Family("h", "histogram", "about", ("a",), [(("x",), buckets)])) == [
        'h_bucket{a="x",le="1.0"} 2.0',
        'h_bucket{a="x",le="2.0"} 3.0',
        'h_bucket{a="x",le="+Inf"} 4.0',
        'h_count{a="x"} 4.0',
        'h_sum{a="x"} 12.0',
    ]


def test_counters_and_gauges_have_their_labels() -> None:
    assert shown(Family("c", "counter", "about", ("a",), [(("x",), 3.0)])) == ['c_total{a="x"} 3.0']
    assert shown(Family("g", "gauge", "about", (), [((), 3.0)])) == ["g 3.0"]


def test_stages_beyond_the_limit_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MAX_STAGES", 2)
    found = Counts()
    first = found.stage("p", "s")
    assert found.stage("p", "s") is first
    found.stage("q", "s")
    assert found.stage("r", "s") is found.stage("t", "s")
    assert len(found.stages) == 3


class Collected:
    def __init__(self) -> None:
        self.spans: list[Span] = []

    async def send(self, spans: list[Span]) -> int:
        self.spans += spans
        return 0

    async def close(self) -> None:
        pass


def failing(reason: str, by: str) -> pb.RowError:
    from grpc import StatusCode

    return pb.RowError(status=errors.make_status(StatusCode.INTERNAL, "no", reason, {"stage": by}))


async def test_what_fails_counts_where_it_fails() -> None:
    found, collected = Counts(), Collected()
    exporter = Exporter(collected)  # type: ignore[arg-type]
    frame = pb.Frame(table=pb.Table(rows=3), errors=[failing("EARLIER", "s/before")])
    answered = FrameInStage(frame, Columns({}, 3), came_failed=stage.count_failed(frame))
    with CallObserver(found, TOLD, exporter) as observed:
        assert found.stage("p", "s/m").active == 1
        frame.table.rows = 2
        frame.errors.append(failing("MODEL_FAILED", "s/m"))
        observed.count_answered([answered], 0.0)
    counted = found.stage("p", "s/m")
    assert (counted.rows, dict(counted.failed), dict(counted.calls), counted.active) == (
        3,
        {"MODEL_FAILED": 1},
        {"OK": 1},
        0,
    )
    await exporter.flush()
    (span,) = collected.spans
    assert (span.name, span.error, span.tags["failed_rows"]) == ("s/m", "MODEL_FAILED", "1")


async def test_a_span_is_as_long_as_it_took_when_the_clock_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collected = Collected()
    exporter = Exporter(collected)  # type: ignore[arg-type]
    with CallObserver(Counts(), TOLD, exporter):
        monkeypatch.setattr("time.time_ns", lambda: 0)
    await exporter.flush()
    (span,) = collected.spans
    assert span.start_ns > 0
    assert 0 < span.duration_ns < 60e9


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(errors.InvalidArgument("no"), "INVALID_ARGUMENT", id="expected"),
        pytest.param(ValueError("no"), "INTERNAL", id="a bug"),
        pytest.param(asyncio.CancelledError(), "CANCELLED", id="cancelled"),
    ],
)
def test_a_call_counts_by_what_ended_it(error: BaseException, code: str) -> None:
    found = Counts()
    with pytest.raises(type(error)), CallObserver(found, TOLD, None):
        raise error
    assert dict(found.stage("p", "s/m").calls) == {code: 1}


def test_a_version_is_of_content_whatever_the_order() -> None:
    one, two = (Resource(ResourceType.CLUSTER, n, f"{n}1", b"") for n in ("a", "b"))
    assert (
        version_number({"a": one, "b": two})
        == version_number({"b": two, "a": one})
        != version_number({"a": one})
    )
    assert version_number({}) == 0


def scraping(taken: list[int]) -> Callable[[], metrics.Reading]:
    def take() -> metrics.Reading:
        taken.append(1)
        return lambda: [Family("g", "gauge", "about", (), [((), float(len(taken)))])]

    return take


async def test_numbers_are_taken_on_the_loop_when_somebody_asks() -> None:
    taken: list[int] = []
    async with metrics.serve_metrics(ANY_PORT, scraping(taken)) as address:
        assert taken == []
        for count in (1, 2):
            assert f"g {count}.0" in await asyncio.to_thread(get, address)
        assert "process_cpu_seconds_total" in await asyncio.to_thread(get, address)


def get(address: Address) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


async def test_a_taken_port_is_told_with_its_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("127.0.0.1", listener.getsockname()[1])
        with pytest.raises(errors.Unavailable, match="choose another port by --metrics"):
            async with metrics.serve_metrics(address, scraping([])):
                pass
