"""Load on a gateway, and what its processes spend on it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio

from hydro.serving.v1 import frame_pb2 as pb

T = TypeVar("T")
STREAM = "/hydro.serving.v1.PredictionService/PredictStream"
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Workload:
    """Requests of one size, some at a time."""

    name: str
    rows: int
    concurrency: int


WORKLOADS = (
    Workload("a1", rows=2, concurrency=1),
    Workload("a32", rows=2, concurrency=32),
    Workload("b1", rows=1000, concurrency=1),
    Workload("b4", rows=1000, concurrency=4),
)
"""As the peers' benchmark names them."""


@dataclass(frozen=True)
class Processes:
    """The processes whose CPU time counts, by what they are."""

    pids: Mapping[str, int]

    def measured(self, load: Callable[[], T], count: Callable[[T], int]) -> tuple[T, Any]:
        """What the load gave, and CPU milliseconds for each of `count`, by process."""
        before = {name: cpu_s(pid) for name, pid in self.pids.items()}
        found = load()
        spent = {name: cpu_s(pid) - before[name] for name, pid in self.pids.items()}
        cpu = {name: 1000 * s / count(found) for name, s in spent.items()}
        return found, {**cpu, "all": sum(cpu.values())}

    def memory_mb(self) -> dict[str, dict[str, float]]:
        """RSS, and PSS, which splits shared pages among those who map them; by process."""
        return {name: memory_mb(pid) for name, pid in self.pids.items()}


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory_mb(pid: int) -> dict[str, float]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = dict(re.findall(r"^(Rss|Pss): +(\d+) kB", text, re.MULTILINE))
    return {f"{name.lower()}_mb": int(kb) / 1024 for name, kb in found.items()}


def body(rows: Sequence[Any], count: int) -> bytes:
    """`count` rows, repeated from these, as a JSON array."""
    return json.dumps([rows[i % len(rows)] for i in range(count)]).encode()


def h2load(url: str, content: bytes, workload: Workload, seconds: float, folder: Path) -> Any:
    """Requests by HTTP/1.1, a connection each: requests/s, rows/s, p50 and p99.

    Raises:
        SystemExit: h2load is not installed, or got another answer than 200.
    """
    if not shutil.which("h2load"):
        raise SystemExit("h2load is not installed, which makes the load; Debian: nghttp2-client")
    data, log = folder / f"body{workload.rows}.json", folder / "h2load.log"
    data.write_bytes(content)
    log.unlink(missing_ok=True)
    clients = str(workload.concurrency)
    words = ["h2load", "--h1", "-t", "1", "-c", clients, "-D", f"{1000 * seconds:.0f}ms"]
    words += ["-H", "content-type: application/json", "--log-file", str(log), "-d", str(data), url]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return answered([[int(n) for n in line.split()] for line in log.open()], workload.rows)


def answered(lines: Sequence[Sequence[int]], rows: int) -> dict[str, float]:
    """Figures of h2load's log: start, status and duration of each request, in microseconds.

    Raises:
        SystemExit: a request failed, or none was answered.
    """
    failed = [status for _, status, _ in lines if status != 200]
    if failed or not lines:
        raise SystemExit(f"{len(failed)} of {len(lines)} requests failed: {sorted(set(failed))}")
    took = sorted(duration for _, _, duration in lines)
    span = max(start + d for start, _, d in lines) - min(start for start, _, _ in lines)
    rate = len(lines) / span * 1e6
    return {
        "requests": len(lines),
        "requests_per_s": rate,
        "rows_per_s": rate * rows,
        "p50_ms": took[len(took) // 2] / 1000,
        "p99_ms": took[len(took) * 99 // 100] / 1000,
    }


def frame(row: Mapping[str, str], pipeline: str) -> bytes:
    """A row of texts as a client sends it."""
    columns = [
        pb.Column(name=name, type=pb.DATA_TYPE_STRING, values=pb.Values(strings=[text]))
        for name, text in row.items()
    ]
    table = pb.Table(rows=1, columns=columns)
    return pb.Frame(pipeline=pipeline, table=table).SerializeToString()


def stream(gateway: str, message: bytes, count: int) -> dict[str, float]:
    """One call of PredictStream from grpc.aio, `count` messages of one row; the client's code
    passes bytes on, so that what it costs is grpc's.

    Raises:
        SystemExit: an answer is missing or is an error.
    """
    start, spent = time.perf_counter(), time.process_time()
    answers = asyncio.run(_stream(gateway, message, count))
    seconds, spent = time.perf_counter() - start, time.process_time() - spent
    last = pb.Frame.FromString(answers[-1])
    if len(answers) != count or last.table.rows != 1:
        raise SystemExit(f"sent {count} messages, got {len(answers)}; the last one: {last}")
    client_ms = 1000 * spent / count
    return {"messages": count, "rows_per_s": count / seconds, "client_ms": client_ms}


async def _stream(gateway: str, message: bytes, count: int) -> list[bytes]:
    async with grpc.aio.insecure_channel(gateway) as channel:
        call: Any = channel.stream_stream(STREAM)()
        await call.write(message)
        answers = [await call.read()]
        writing = asyncio.create_task(_write(call, message, count - 1))
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
        await writing
    return answers


async def _write(call: Any, message: bytes, count: int) -> None:
    for _ in range(count):
        await call.write(message)
    await call.done_writing()
