"""Load on a mesh at a fixed rate, by a client that counts every request and never repeats one.

The schedule is absolute: what is due is sent, however long what was sent before takes. Latencies
count from when a request was due. Every request has a number of its own, and its right answer is
known. Nothing is tried again here: what fails has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import grpc.aio
import httpx
from clients import Clients, frame, values
from patience import PATIENCE_S
from whole_mesh import until

from hydro.serving.v1 import frame_pb2 as pb
from hydro_services import client, errors

STAGES = ("here", "there")
ROWS = 2
"""A request, so that answers could be mixed."""
GIVEN_BACK = 64
"""Characters of a text at most."""

Columns: TypeAlias = dict[str, Sequence[Any]]


@dataclass
class Tally:
    """What became of the requests, or messages, of one kind."""

    sent: int = 0
    right: int = 0
    wrong: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    waiting: dict[str, float] = field(default_factory=dict)
    """When each message that has no answer yet was due."""

    def send(self, due: float) -> str:
        """The name of the next message."""
        self.sent += 1
        self.waiting[str(self.sent)] = due
        return str(self.sent)

    @property
    def answered(self) -> int:
        return self.right + len(self.wrong) + self.errors.total()

    @property
    def lost(self) -> int:
        return self.sent - self.answered

    def failed(self, name: str, error: str, text: str) -> None:
        del self.waiting[name]
        self.errors[error] += 1
        self.examples.setdefault(error, text[:300])

    def ms(self, share: float) -> float:
        """The latency in ms that this share of the right answers stayed below."""
        found = sorted(self.latencies_s)
        return round(1e3 * found[min(len(found) - 1, int(share * len(found)))], 1) if found else 0.0


@dataclass(frozen=True)
class Rates:
    """Requests and messages a second."""

    http: float = 10.0
    grpc: float = 10.0
    stream: float = 5.0
    """Of each stream."""
    streams: int = 3
    request_bytes: int = 0
    """About; 0: as few as it takes."""


class Load:
    """What runs now, and what it has seen."""

    def __init__(self, clients: Clients, pipeline: str, rates: Rates) -> None:
        self.tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self.prefixes = {""}
        """What right answers may start with: that of a version of the model."""
        self.latest: deque[str] = deque(maxlen=20)
        """What the latest answers started with."""
        self.seen: dict[int, float] = {}
        """When each process of a stage last answered."""
        self.counts: Counter[int] = Counter()
        """How many evaluations for requests, which are no streams, each process has answered."""
        self._clients = clients
        self._pipeline = pipeline
        self._rates = rates
        self._clock = asyncio.get_running_loop().time
        self._stopping = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Sends until the context ends, then waits for the answers that are still due."""
        rates = self._rates
        tasks = [
            asyncio.create_task(self._requests("http", rates.http, self._over_http)),
            asyncio.create_task(self._requests("grpc", rates.grpc, self._over_grpc)),
            *(asyncio.create_task(self._stream()) for _ in range(rates.streams)),
        ]
        try:
            yield self
        finally:
            self._stopping.set()
            _, late = await asyncio.wait(tasks, timeout=PATIENCE_S)
            for task in late:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
        for each in found:
            if isinstance(each, Exception):
                raise each

    async def more(self, count: int) -> None:
        """Waits for some more right answers of each kind."""
        wanted = {kind: tally.right + count for kind, tally in self.tallies.items()}
        await until(
            lambda: all(self.tallies[kind].right >= n for kind, n in wanted.items()),
            PATIENCE_S,
            f"{count} right answers of each kind",
        )

    @property
    def failed(self) -> int:
        """Answers so far that were errors."""
        return sum(tally.errors.total() for tally in self.tallies.values())

    @property
    def under_way(self) -> int:
        """Messages without an answer so far."""
        return sum(len(tally.waiting) for tally in self.tallies.values())

    def waits_s(self) -> float:
        """How long the oldest of the messages under way waits."""
        due = [due for tally in self.tallies.values() for due in tally.waiting.values()]
        return self._clock() - min(due, default=self._clock())

    async def _due(self, rate: float) -> AsyncIterator[float]:
        """The times at which something is to be sent, each when it has come."""
        start, number = self._clock(), 0
        while not self._stopping.is_set():
            yield start + number / rate
            number += 1
            await asyncio.sleep(start + number / rate - self._clock())

    async def _requests(
        self, kind: str, rate: float, ask: Callable[[list[str]], Awaitable[Columns]]
    ) -> None:
        tally = self.tallies[kind]
        async with asyncio.TaskGroup() as tasks:
            async for due in self._due(rate) if rate else _nothing():
                tasks.create_task(self._one(kind, tally.send(due), ask))

    async def _one(
        self,
        kind: str,
        name: str,
        ask: Callable[[list[str]], Awaitable[Columns]],
    ) -> None:
        tally = self.tallies[kind]
        try:
            columns = await ask(self._texts(name))
        except grpc.aio.AioRpcError as error:
            tally.failed(name, error.code().name, error.details() or "")
        except httpx.HTTPStatusError as error:
            tally.failed(name, f"HTTP {error.response.status_code}", error.response.text)
        except httpx.TransportError as error:
            tally.failed(name, type(error).__name__, str(error))
        else:
            self._check(kind, name, columns)

    def _check(self, kind: str, name: str, columns: Columns) -> None:
        tally, now, texts = self.tallies[kind], self._clock(), self._texts(name)
        due = tally.waiting.pop(name)
        if all(self._is_right(columns[stage], texts) for stage in STAGES):
            tally.right += 1
            tally.latencies_s.append(now - due)
            if kind != "stream":  # which keeps the version that it began with
                self.latest.append(columns[STAGES[0]][0].removesuffix(texts[0][:GIVEN_BACK]))
            for stage in STAGES:
                self.seen[pid := int(columns[f"{stage}_process"][0])] = now
                self.counts[pid] += kind != "stream"
        else:
            tally.wrong.append(f"{texts}: {columns}"[:1000])

    def _is_right(self, found: Sequence[Any], texts: list[str]) -> bool:
        """All rows by one version of the model."""
        return any(
            list(found) == [prefix + text[:GIVEN_BACK] for text in texts]
            for prefix in self.prefixes
        )

    async def _over_http(self, texts: list[str]) -> Columns:
        response = await self._clients.serve(self._pipeline, [{"text": text} for text in texts])
        response.raise_for_status()
        answers = response.json()
        return {name: [answer.get(name) for answer in answers] for name in answers[0]}

    async def _over_grpc(self, texts: list[str]) -> Columns:
        sent = frame(self._pipeline, *texts)
        return _columns(await self._clients.predictions.Predict(sent, timeout=PATIENCE_S))

    async def _stream(self) -> None:
        """One stream of the product's client, which goes on when an instance dies."""
        tally = self.tallies["stream"]
        under_way: deque[str] = deque()

        async def messages() -> AsyncIterator[pb.Frame]:
            async for due in self._due(self._rates.stream):
                under_way.append(tally.send(due))
                yield frame(self._pipeline, *self._texts(under_way[-1]))

        async with grpc.aio.insecure_channel(
            self._clients.mesh.address("gateway"), [("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            async for answer in client.GatewayClient(channel).predict_stream(messages()):
                name = under_way.popleft()
                if answer.HasField("failure"):
                    error = errors.from_status(answer.failure)
                    tally.failed(name, type(error).__name__, error.message)
                else:
                    self._check("stream", name, _columns(answer))

    def _texts(self, name: str) -> list[str]:
        rest = " " * (self._rates.request_bytes // ROWS)
        return [f"{name} {row}{rest}" for row in range(ROWS)]


def _columns(answer: pb.Frame) -> Columns:
    names = [column.name for column in answer.table.columns]
    return {name: values(answer, name) for name in names}


async def _nothing() -> AsyncIterator[float]:
    return
    yield
