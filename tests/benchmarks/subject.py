"""The mesh that is measured: started by `hydro up` on free ports, with models of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydro_runtimes.files import digest_folder

ROOT = Path(__file__).resolve().parents[2]
HYDRO = (sys.executable, "-m", "hydro_services.cli.main")
LAST = "bench-last"
"""A runtime of its own for the second trivial stage, so that no stage shares a process."""
START_S = 60
TEXTS = ("Title1", "ItemSpecifics1", "Title2", "ItemSpecifics2")
_MODEL = '''"""A stage of the peers, which takes rows: columns to rows, and back."""
import importlib.util

spec = importlib.util.spec_from_file_location("stages", {path!r})
stages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stages)


class Model:
    def __init__(self, folder):
        pass

    def evaluate(self, columns):
        listed = [c if isinstance(c, list) else c.tolist() for c in columns.values()]
        rows = [dict(zip(columns, row)) for row in zip(*listed)]
        answers = stages.{function}(rows)
        return {{name: [answer[name] for answer in answers] for name in {outputs!r}}}
'''


@dataclass(frozen=True)
class Pipeline:
    """A chain of two models, and the processes that take part in serving it."""

    name: str
    chain: tuple[str, str]
    folders: tuple[Path, Path]
    processes: tuple[str, str, str]
    """Envoy, first stage, last stage, as ps names them (15 characters)."""


@dataclass(frozen=True)
class Subject:
    """A mesh that runs."""

    gateway: str
    """host:port."""
    pipelines: tuple[Pipeline, ...]
    trusted: frozenset[str]
    pids: dict[str, int]
    """By the name that ps shows."""

    def url(self, pipeline: Pipeline) -> str:
        return f"http://{self.gateway}/api/v1/serve/{pipeline.name}"


@contextlib.contextmanager
def serving(folder: Path, stages: Path | None) -> Iterator[Subject]:
    """Serves the demo's pipeline and, with the peers' stages.py, the trivial one.

    Raises:
        SystemExit: the mesh does not start; its log says why.
    """
    with running(folder, [demo(folder)] + ([trivial(folder, stages)] if stages else [])) as mesh:
        yield mesh


@contextlib.contextmanager
def running(folder: Path, pipelines: Sequence[Pipeline]) -> Iterator[Subject]:
    """Serves pipelines, whose models are in the folder.

    Raises:
        SystemExit: the mesh does not start; its log says why.
    """
    digests = [digest_folder(path) for pipeline in pipelines for path in pipeline.folders]
    (folder / "trusted.txt").write_text("".join(f"{each}\n" for each in digests))
    with contextlib.ExitStack() as stack:
        up, ready = stack.enter_context(_up(folder))
        own = {}
        if any(LAST in pipeline.processes for pipeline in pipelines):
            own[LAST] = stack.enter_context(_last_stage(folder, ready["xds"])).pid
        manager = ready["manager"].removeprefix("http://")
        for pipeline in pipelines:
            _apply(manager, pipeline)
        gateway = ready["gateway"].removeprefix("http://")
        pids = {**processes([up.pid]), **{name: guarded(guard) for name, guard in own.items()}}
        yield Subject(gateway, tuple(pipelines), frozenset(digests), pids)


def demo(folder: Path) -> Pipeline:
    """The example models, as they are."""
    saved = ("scikit/pm_scikit", "spark/pm_spark")
    for path in saved:
        shutil.copytree(ROOT / "models" / path, folder / "models" / path)
    chain = ("serving-customscikit/pm_scikit", "serving-localml-spark/pm_spark")
    folders = (folder / "models" / saved[0], folder / "models" / saved[1])
    names = ("envoy", "serving-customscikit-1"[:15], "serving-localml-spark-1"[:15])
    return Pipeline("endpointML", chain, folders, names)


def trivial(folder: Path, stages: Path) -> Pipeline:
    """The peers' two stage functions as custom models."""
    inputs = [{"name": name, "type": "string"} for name in TEXTS]
    features = {"name": "features", "type": "float64", "shape": [4]}
    answer = [
        {"name": "probability", "type": "float64", "shape": [2]},
        {"name": "prediction", "type": "float64"},
    ]
    first = _custom(folder, "stage1", stages, inputs, [features])
    last = _custom(folder, "stage2", stages, [features], answer)
    chain = ("serving-customscikit/stage1", f"{LAST}/stage2")
    names = ("envoy", "serving-customscikit-1"[:15], LAST)
    return Pipeline("trivial", chain, (first, last), names)


def _custom(folder: Path, name: str, stages: Path, inputs: list[Any], outputs: list[Any]) -> Path:
    path = folder / "models" / "scikit" / name
    path.mkdir(parents=True)
    source = _MODEL.format(
        path=str(stages.resolve()), function=name, outputs=[field["name"] for field in outputs]
    )
    (path / "model.py").write_text(source)
    metadata = {"model": name, "inputs": inputs, "outputs": outputs}
    (path / "metadata.json").write_text(json.dumps(metadata))
    return path


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HYDRO_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@contextlib.contextmanager
def _process(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    log = (folder / f"{words[0]}.log").open("w")
    with (
        log,
        subprocess.Popen(
            [*HYDRO, *words], env=_environment(), stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield process
        except BaseException:
            sys.stderr.write(f"{log.name}:\n{Path(log.name).read_text()[-4000:]}\n")
            raise
        finally:
            process.terminate()


@contextlib.contextmanager
def _up(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    ports = [f"--{part}-port=0" for part in ("manager", "gateway", "repository", "xds")]
    files = [f"--{name}={folder / path}" for name, path in _FILES.items()]
    with _process(folder, "up", "--json", *files, *ports) as process:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise SystemExit("hydro up ended before it served")
        yield process, json.loads(line)


_FILES = {"models": "models", "trusted": "trusted.txt", "data": "data"}


@contextlib.contextmanager
def _last_stage(folder: Path, xds: str) -> Iterator[subprocess.Popen[str]]:
    files = [f"--cache={folder / 'cache'}", f"--trusted={folder / 'trusted.txt'}"]
    files.append(f"--token-file={folder / 'data' / 'manager' / 'token'}")
    words = ("--formats=python", f"--xds={xds}", "--log-level=WARNING")
    with _process(folder, "runtime", LAST, *words, *files) as process:
        yield process


def _apply(manager: str, pipeline: Pipeline) -> None:
    """Makes the pipeline; again while a runtime has yet to register."""
    words = [*HYDRO, "pipelines", "apply", pipeline.name, *pipeline.chain, "--manager", manager]
    end = time.monotonic() + START_S
    while True:
        done = subprocess.run(
            words, env=_environment(), capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        if time.monotonic() > end:
            raise SystemExit(f"pipeline {pipeline.name} cannot be made: {done.stderr}")
        time.sleep(0.2)


def guarded(guard: int) -> int:
    """The runtime whose guard it is, which is its only child."""
    return int(Path(f"/proc/{guard}/task/{guard}/children").read_text())


def processes(roots: list[int]) -> dict[str, int]:
    """These processes and all below them, by name."""
    found: dict[int, tuple[int, str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, tail = stat.read_text().rpartition(")")
            found[int(stat.parent.name)] = (int(tail.split()[1]), head.partition("(")[2])
    family = set(roots)
    while more := {pid for pid, (parent, _) in found.items() if parent in family} - family:
        family |= more
    names = {pid: found[pid][1] for pid in family if pid in found}
    return {name: pid for pid, name in names.items()}
