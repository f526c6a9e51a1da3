"""What a process tells Prometheus: numbers that others keep, read when somebody asks.

The event loop owns the numbers, so it is the event loop that takes them; what becomes of them,
which is the greater part, is the business of a thread.
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

from hydro_services import errors
from hydro_services.rpc import listening

TAKE_S = 5.0
"""How long the event loop may take to answer."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """The state of a histogram: counts of each bound alone, and one more for what is above."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


@dataclass(frozen=True, slots=True)
class Family:
    """One metric, with a value for each combination of labels."""

    name: str
    kind: str
    """"counter", "gauge" or "histogram"."""
    about: str
    labels: Sequence[str]
    values: Iterable[tuple[Sequence[str], float | Buckets]]


Reading = Callable[[], Iterable[Family]]
"""Makes families of what was taken; called in a thread."""


@contextlib.asynccontextmanager
async def serve(address: str, take: Callable[[], Reading]) -> AsyncIterator[str]:
    """Serves /metrics until the context ends.

    Args:
        address: host:port; port 0 takes a free one.
        take: called on the event loop; is to be quick.

    Yields:
        host:port, with the port that was bound.

    Raises:
        errors.Unavailable: the address cannot be bound.
        errors.InvalidArgument: it is malformed, or its name is not known.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(asyncio.get_running_loop(), take))
    wanted = listening(address)
    try:
        server, thread = start_http_server(wanted.port, wanted.host, registry)
    except OSError as error:
        way_out = "stop what listens there or choose another port by --metrics"
        reason = (error.strerror or str(error)).lower()
        raise errors.Unavailable(f"cannot listen on {address}: {reason}; {way_out}") from error
    try:
        yield str(wanted._replace(port=server.server_port))
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)


class _Collector(Collector):
    """Asked by a thread of the server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[], Reading]) -> None:
        self._loop = loop
        self._take = take

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead: what there is, is known when it is asked for."""
        return ()

    def collect(self) -> Iterator[Metric]:
        reading = asyncio.run_coroutine_threadsafe(self._taken(), self._loop).result(TAKE_S)
        return map(metric, reading())

    async def _taken(self) -> Reading:
        return self._take()


def metric(family: Family) -> Metric:
    """A family as prometheus_client wants it."""
    if family.kind == "histogram":
        found = HistogramMetricFamily(family.name, family.about, labels=family.labels)
        for labels, value in family.values:
            assert isinstance(value, Buckets)
            found.add_metric(labels, _cumulative(value), value.total)
        return found
    plain = Metric(family.name, family.about, family.kind)
    name = f"{family.name}_total" if family.kind == "counter" else family.name
    for labels, value in family.values:
        assert not isinstance(value, Buckets)
        plain.add_sample(name, dict(zip(family.labels, labels, strict=True)), value)
    return plain


def _cumulative(value: Buckets) -> list[tuple[str, float]]:
    bounds = [*map(str, value.bounds), "+Inf"]
    return list(zip(bounds, itertools.accumulate(value.counts), strict=True))
