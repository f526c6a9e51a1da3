"""Spans: their parents, how collectors take them, and what becomes of them while one is away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hydro_services import tracing
from hydro_services.tracing import Exporter, Parent, Span, exporter, otlp, zipkin

TRACE, ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def span(number: int = 1, error: str = "") -> Span:
    times = (1_700_000_000_000_000_000, 2_500_000)
    return Span(Parent(TRACE, ID), f"{number:016x}", "s/m", *times, {"rows": "2"}, error)


@pytest.mark.parametrize(
    ("header", "want"),
    [
        pytest.param(f"00-{TRACE}-{ID}-01", Parent(TRACE, ID), id="sampled"),
        pytest.param(f"00-{TRACE}-{ID}-03", Parent(TRACE, ID), id="other flags"),
        pytest.param(f"00-{TRACE}-{ID}-00", None, id="not sampled"),
        pytest.param(f"01-{TRACE}-{ID}-01", None, id="unknown version"),
        pytest.param(f"00-{TRACE}-{ID}", None, id="short"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_parent_is_who_called_and_wants_to_know(header: str, want: Parent | None) -> None:
    assert tracing.parse_parent({"traceparent": header}) == want
    assert tracing.parse_parent({}) is None


def test_zipkin_gets_microseconds() -> None:
    assert zipkin.encode_span(span(error="BAD"), "serving") == {
        "traceId": TRACE,
        "id": "0000000000000001",
        "parentId": ID,
        "kind": "SERVER",
        "name": "s/m",
        "timestamp": 1_700_000_000_000_000,
        "duration": 2_500,
        "localEndpoint": {"serviceName": "serving"},
        "tags": {"rows": "2", "error": "BAD"},
    }


def test_opentelemetry_gets_nanoseconds_and_a_status() -> None:
    well, failed = otlp.encode_span(span()), otlp.encode_span(span(error="BAD"))
    assert well.end_time_unix_nano - well.start_time_unix_nano == 2_500_000
    assert (well.trace_id.hex(), well.parent_span_id.hex()) == (TRACE, ID)
    assert (well.status.code, failed.status.code, failed.status.message) == (0, 2, "BAD")


class Collector:
    """Takes spans unless it is away; refuses one of each batch if it is picky."""

    def __init__(self, picky: bool = False) -> None:
        self.batches: list[Sequence[Span]] = []
        self.away = False
        self.picky = picky

    async def send(self, spans: Sequence[Span]) -> int:
        if self.away:
            raise ConnectionRefusedError("nobody there")
        self.batches.append(spans)
        return int(self.picky)

    async def close(self) -> None:
        pass


async def test_spans_leave_in_batches_in_order() -> None:
    collector = Collector()
    sending = Exporter(collector)
    spans = [span(i) for i in range(exporter.MAX_BATCH + 1)]
    for each in spans:
        sending.add(each)
    await sending.flush()
    assert [len(batch) for batch in collector.batches] == [exporter.MAX_BATCH, 1]
    assert [each for batch in collector.batches for each in batch] == spans
    assert (sending.sent, sending.dropped) == (len(spans), 0)


async def test_what_a_collector_that_is_away_or_picky_costs_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Collector(picky=True)
    sending = Exporter(collector)
    collector.away = True
    for _ in range(2):
        sending.add(span())
        await sending.flush()
    assert (sending.sent, sending.dropped) == (0, 2)
    assert [r.getMessage() for r in caplog.records] == ["spans are dropped: no collector"]
    collector.away = False
    for _ in range(3):
        sending.add(span())
    await sending.flush()
    assert (sending.sent, sending.dropped) == (2, 3)


async def test_what_waits_is_bounded() -> None:
    sending = Exporter(Collector())
    for _ in range(exporter.MAX_WAITING + 5):
        sending.add(span())
    assert sending.dropped == 5
    await sending.flush()
    assert sending.sent == exporter.MAX_WAITING
