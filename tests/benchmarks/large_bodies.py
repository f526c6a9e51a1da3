"""How long small requests take alone, and beside each of several kinds of bodies of 30 MB.

A chain of two models, each in a process of its own, is asked for one row at a time by one client,
while another sends a large body. What other work on the machine takes is told apart by how long
threads were ready to run and had no CPU: `blocked` is the longest request without the longest such
wait of each process. On a quiet machine `max` says more, since the mesh's own threads also wait for
each other.

    python tests/benchmarks/large_bodies.py
    python tests/benchmarks/large_bodies.py --kinds "rows of nothing" --megabytes 3
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import load
import report
import subject

from hydro.serving.v1 import frame_pb2 as pb

PIPELINE = "small"
PERIOD_S = 0.01
"""Between two small requests."""
CONNECTIONS = 8
ALONE_S = 5.0
PATIENCE_S = 600.0
ROWS = [{"text": "a", "number": 1.5}]
PREDICT = "hydro.serving.v1.PredictionService/Predict"
_MODEL = '''"""Answers with a number for each row."""
import numpy as np


class Model:
    def __init__(self, folder):
        pass

    def evaluate(self, columns):
        texts = columns["text"]
        return {{{name!r}: np.ones(len(texts))}}
'''


def chain(folder: Path) -> subject.Pipeline:
    """Two models that cost next to nothing."""
    folders = tuple(_model(folder, name) for name in ("first", "last"))
    stages = ("serving-customscikit/first", f"{subject.LAST}/last")
    names = ("envoy", "serving-customscikit-1"[:15], subject.LAST)
    return subject.Pipeline(PIPELINE, stages, (folders[0], folders[1]), names)


def _model(folder: Path, name: str) -> Path:
    path = folder / "models" / "scikit" / name
    path.mkdir(parents=True)
    (path / "model.py").write_text(_MODEL.format(name=name))
    optional = {"optional": True, "nullable": True}
    inputs = [
        {"name": "text", "type": "string"},
        {"name": "number", "type": "float64", **optional},
        {"name": "vector", "type": "float64", "shape": [-1], **optional},
    ]
    outputs = [{"name": name, "type": "float64"}]
    metadata = {"model": name, "inputs": inputs, "outputs": outputs}
    (path / "metadata.json").write_text(json.dumps(metadata))
    return path


@dataclass(frozen=True)
class Kind:
    """A kind of large body."""

    make: Callable[[int], bytes]
    """Of about so many bytes."""
    content_type: str = "application/json"
    path: str = f"api/v1/serve/{PIPELINE}"


def array(row: bytes) -> Callable[[int], bytes]:
    return lambda size: b"[" + b",".join([row] * (size // (len(row) + 1))) + b"]"


def lines(row: bytes) -> Callable[[int], bytes]:
    return lambda size: (row + b"\n") * (size // (len(row) + 1))


def one(start: bytes, piece: bytes, end: bytes) -> Callable[[int], bytes]:
    return lambda size: start + piece * (size // len(piece)) + end


def own_names(size: int) -> bytes:
    return b"[" + b",".join(b'{"text":"a","n%d":1}' % i for i in range(size // 24)) + b"]"


def frame(size: int) -> bytes:
    rows = size // 30
    sent = pb.Frame(pipeline=PIPELINE, table=pb.Table(rows=rows))
    text = struct.pack("<I", 18) + b"x" * 18
    sent.table.columns.add(name="text", type=pb.DATA_TYPE_STRING, data=text * rows)
    sent.table.columns.add(name="number", type=pb.DATA_TYPE_FLOAT64, data=bytes(8 * rows))
    message = sent.SerializeToString()
    return struct.pack(">BI", 0, len(message)) + message


def typed(size: int) -> bytes:
    rows = size // 75
    texts = {"name": "text", "type": "DATA_TYPE_STRING", "values": {"strings": ["x" * 12] * rows}}
    doubles = {"name": "number", "type": "DATA_TYPE_FLOAT64", "values": {"doubles": [0.5] * rows}}
    return json.dumps({"table": {"rows": rows, "columns": [texts, doubles]}}).encode()


ROW = b'{"text":"a longer text, as there are many","number":1.5}'
WIDE = b'{"text":"a",' + b",".join(b'"c%d":1' % i for i in range(3_999)) + b"}"
VECTOR = b'{"text":"a","vector":[' + b",".join([b"0.25"] * 100) + b"]}"
NDJSON = "application/x-ndjson"
KINDS: Mapping[str, Kind] = {
    "ordinary rows": Kind(array(ROW)),
    "ordinary rows, NDJSON": Kind(lines(ROW), NDJSON),
    "rows of nothing": Kind(array(b"{}")),
    "rows of 4,000 columns": Kind(array(WIDE)),
    "rows of 100 numbers": Kind(array(VECTOR)),
    "rows with names of their own": Kind(own_names),
    "rows that fail": Kind(array(b'{"text":1}')),
    "one text": Kind(one(b'[{"text":"', b"x", b'"}]')),
    "one text of escapes": Kind(one(b'[{"text":"', b"\\u00e9", b'"}]')),
    "brackets that stay open": Kind(one(b'[{"text":"a","x":', b"[", b"")),
    "a frame": Kind(frame, "application/grpc", PREDICT),
    "a typed frame as JSON, a third of the size": Kind(typed, path=f"api/v1/predict/{PIPELINE}"),
}


@dataclass
class Watch:
    """Small requests, one after the other, on connections of their own."""

    gateway: str
    pids: tuple[int, ...]
    latencies: list[float] = field(default_factory=list)
    """Seconds."""
    blocked: list[float] = field(default_factory=list)
    """Seconds, without the waits for a CPU."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        body = json.dumps(ROWS).encode()
        # Some, since a worker of Envoy has the one or the other.
        connections = itertools.cycle(
            [
                http.client.HTTPConnection(self.gateway, timeout=PATIENCE_S)
                for _ in range(CONNECTIONS)
            ]
        )
        headers = {"content-type": "application/json"}
        while not self._stop.wait(PERIOD_S):
            connection = next(connections)
            before, start = self._waited_s(), time.monotonic()
            connection.request("POST", f"/api/v1/serve/{PIPELINE}", body, headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise SystemExit(f"a small request failed: {answer.status} {answer.read()!r}")
            answer.read()
            took = time.monotonic() - start
            waits = (longest_s(was, now) for was, now in zip(before, self._waited_s(), strict=True))
            self.latencies.append(took)
            self.blocked.append(max(0.0, took - sum(waits)))

    def _waited_s(self) -> list[dict[str, float]]:
        return [waited_s(pid) for pid in (*self.pids, os.getpid())]

    def during(self, call: Callable[[], None]) -> None:
        """Watches while a call is made."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            call()
        finally:
            self._stop.set()
            thread.join()

    def cells(self) -> list[str]:
        """Requests, p50, p99, max and blocked, in ms."""
        took = sorted(self.latencies)
        if not took:
            return ["0", "", "", "", ""]
        picked = (took[len(took) // 2], took[len(took) * 99 // 100], took[-1], max(self.blocked))
        return [str(len(took)), *(f"{1000 * seconds:.1f}" for seconds in picked)]


def waited_s(pid: int) -> dict[str, float]:
    """How long each thread of a process was ready to run and had no CPU; see proc(5), schedstat."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has ended
            found[task.parent.name] = int(task.read_text().split()[1]) / 1e9
    return found


def longest_s(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """The longest wait of a thread between two looks."""
    return max((waited - before.get(thread, 0.0) for thread, waited in after.items()), default=0.0)


def memory_mb(pid: int) -> float:
    """The most that a process took since `reset_memory`."""
    told = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in told if line.startswith("VmHWM")) / 1024


def reset_memory(pids: tuple[int, ...]) -> None:
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def send(gateway: str, kind: Kind, body: Path) -> tuple[str, int, float]:
    """The status, bytes of the answer and seconds of a large request, by curl."""
    words = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code} %{size_download} %{time_total}"]
    words += ["-H", f"content-type: {kind.content_type}", "-H", "expect:", "-m", f"{PATIENCE_S:g}"]
    words += (
        ["--http2-prior-knowledge", "-H", "te: trailers"] if "grpc" in kind.content_type else []
    )
    url = f"http://{gateway}/{kind.path}"
    done = subprocess.run(
        [*words, "--data-binary", f"@{body}", url], capture_output=True, text=True, check=False
    )
    status, size, seconds = done.stdout.split()
    return status if not done.returncode else f"curl {done.returncode}", int(size), float(seconds)


def measure(mesh: subject.Subject, name: str, body: Path) -> list[str]:
    pids = tuple(mesh.pids[each] for each in mesh.pipelines[0].processes)
    watch, sent = Watch(mesh.gateway, pids), ["", "", ""]
    reset_memory(pids)
    before = [load.cpu_s(pid) for pid in pids]

    def ask() -> None:
        status, size, seconds = send(mesh.gateway, KINDS[name], body)
        sent[:] = [status, f"{size / 1e6:.0f}", f"{seconds:.1f}"]

    watch.during(ask if name else lambda: time.sleep(ALONE_S))
    spent = (load.cpu_s(pid) - was for pid, was in zip(pids, before, strict=True))
    costs = [f"{seconds:.1f}" for seconds in spent] + [f"{memory_mb(pid):.0f}" for pid in pids]
    return [name or "alone", *sent, *watch.cells(), *costs]


HEADINGS = ["beside", "status", "MB out", "s", "requests", "p50 ms", "p99 ms", "max ms", "blocked"]
HEADINGS += ["Envoy CPU s", "first", "last", "Envoy MB", "first", "last"]


def main() -> None:
    parser = argparse.ArgumentParser(description="see the module's docstring")
    parser.add_argument("--kinds", action="append", choices=list(KINDS), help="repeatable")
    parser.add_argument("--megabytes", type=float, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hydro-bench-") as name:
        folder = Path(name)
        body = folder / "body"
        with subject.running(folder, [chain(folder)]) as mesh:
            rows = [measure(mesh, "", body)]
            for kind in args.kinds or KINDS:
                body.write_bytes(KINDS[kind].make(int(args.megabytes * 1e6)))
                sys.stderr.write(f"{kind}, load average {os.getloadavg()[0]:.1f}\n")
                rows.append(measure(mesh, kind, body))
                sys.stderr.write(f"{rows[-1]}\n")
    print(report.table(HEADINGS, rows))


if __name__ == "__main__":
    main()
