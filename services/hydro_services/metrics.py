"""The metrics of a process for Prometheus, read when it scrapes.

The event loop owns the numbers and so reads them; making metrics and text of them, which is most of
the work, is done in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from hydro_envoy.address import Address
from hydro_services import errors
from hydro_services.rpc import resolve_address

READ_S = 5.0
"""How long the event loop may take to read them."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram: the count of each bucket alone, the last of them for values above all bounds."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


@dataclass(frozen=True, slots=True)
class Family:
    """A metric, with a value for each combination of labels."""

    name: str
    kind: str
    """"counter", "gauge" or "histogram"."""
    about: str
    labels: Sequence[str]
    values: Iterable[tuple[Sequence[str], float | Buckets]]


Reading = Callable[[], Iterable[Family]]
"""Makes families of numbers that were read; called in a thread."""


@contextlib.asynccontextmanager
async def serve_metrics(address: Address, read: Callable[[], Reading]) -> AsyncIterator[Address]:
    """Serves /metrics until the context ends.

    Args:
        address: where to listen; port 0 takes a free one.
        read: called on the event loop; has to be quick.

    Yields:
        The address with the port that was bound.

    Raises:
        errors.Unavailable: the address cannot be bound.
        errors.InvalidArgument: its name is not known.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(asyncio.get_running_loop(), read))
    wanted = resolve_address(address)
    try:
        server, thread = start_http_server(wanted.port, wanted.host, registry)
    except OSError as error:
        way_out = "stop what listens there or choose another port by --metrics"
        reason = (error.strerror or str(error)).lower()
        raise errors.Unavailable(f"cannot listen on {address}: {reason}; {way_out}") from error
    try:
        yield wanted._replace(port=server.server_port)
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)


class _Collector(Collector):
    """Called in a thread of the server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, read: Callable[[], Reading]) -> None:
        self._loop = loop
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: which metrics there are is known only when they are read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        reading = asyncio.run_coroutine_threadsafe(self._call_read(), self._loop).result(READ_S)
        return map(to_metric, reading())

    async def _call_read(self) -> Reading:
        return self._read()


def to_metric(family: Family) -> Metric:
    """A family as prometheus_client wants it."""
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.about, labels=family.labels)
        for labels, value in family.values:
            assert isinstance(value, Buckets)
            histogram.add_metric(labels, _cumulative_buckets(value), value.total)
        return histogram
    metric = Metric(family.name, family.about, family.kind)
    name = f"{family.name}_total" if family.kind == "counter" else family.name
    for labels, value in family.values:
        assert not isinstance(value, Buckets)
        metric.add_sample(name, dict(zip(family.labels, labels, strict=True)), value)
    return metric


def _cumulative_buckets(value: Buckets) -> list[tuple[str, float]]:
    bounds = [*map(str, value.bounds), "+Inf"]
    return list(zip(bounds, itertools.accumulate(value.counts), strict=True))
