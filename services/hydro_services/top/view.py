"""What is shown of a mesh, from what its manager and its parts told. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import pipeline_pb2
from hydro_services.top.samples import Labels, Scrape, ScrapeDelta, quantile

_STREAM = "PredictStream"


@dataclass(frozen=True, slots=True)
class MeshStatus:
    """What the manager told, and each part by the name of its instance."""

    status: pb.GetStatusResponse
    pipelines: Sequence[pipeline_pb2.Pipeline]
    services: Sequence[pb.Service]
    scrapes: Mapping[tuple[str, str], Scrape]
    """By part and instance; those that did not answer are missing."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of a pipeline. Rates are a second, times are milliseconds; None: nothing came."""

    stage: str
    rows_s: float
    failed_rows_s: float
    p50_ms: float | None
    p99_ms: float | None
    active: int
    """Calls and streams under way."""


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """One pipeline, as its clients see it. Times are of what is no stream."""

    pipeline: str
    state: str
    requests_s: float
    errors_s: float
    p50_ms: float | None
    p99_ms: float | None
    stages: tuple[StageRow, ...]


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process; what is None it does not tell, or nobody could ask it."""

    part: str
    instance: str
    state: str
    cpu_percent: float | None
    memory_mb: float | None
    queue_rows: int | None = None
    batch_rows: float | None = None
    """Of an evaluation, on average."""
    lacking: int | None = None
    """Resources that an Envoy has not taken yet."""
    nacks: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """All that is shown."""

    pipelines: tuple[PipelineRow, ...]
    processes: tuple[ProcessRow, ...]
    refusals: tuple[str, ...]
    """What Envoys do not take, in their words."""


def build_view(before: MeshStatus | None, now: MeshStatus) -> View:
    """What happened between two moments; without the first one nothing has happened yet."""
    then = before.scrapes if before else {}
    changes = {key: ScrapeDelta(then.get(key, s), s) for key, s in now.scrapes.items()}
    envoys = [change for (part, _), change in changes.items() if part == "envoy"]
    runtimes = [change for (part, _), change in changes.items() if part == "runtime"]
    rows = [_pipeline_row(each, envoys, runtimes) for each in now.pipelines]
    rows.sort(key=lambda row: (-row.requests_s, row.pipeline))
    refused = (
        f"{node.id} refuses {each.type} {each.name}: {each.message}"
        for node in now.status.nodes
        for each in node.refused
    )
    return View(tuple(rows), _process_rows(now, changes), tuple(refused))


def _pipeline_row(
    wanted: pipeline_pb2.Pipeline,
    envoys: Collection[ScrapeDelta],
    runtimes: Collection[ScrapeDelta],
) -> PipelineRow:
    here = {"hydro_pipeline": wanted.name}
    requests = [
        (labels, risen / change.seconds)
        for change in envoys
        for labels, risen in change.increases("envoy_hydro_requests", **here)
    ]
    lost = sum(change.rate("envoy_hydro_unanswered_requests", **here) for change in envoys)
    errors = sum(rate for labels, rate in requests if not _is_ok(labels["hydro_code"]))
    times = [
        (labels, risen)
        for labels, risen in _all_increases(envoys, "envoy_hydro_request_ms_bucket", **here)
        if labels["hydro_method"] != _STREAM
    ]
    return PipelineRow(
        wanted.name,
        pipeline_pb2.PipelineState.Name(wanted.state).rpartition("_")[2].lower(),
        sum(rate for _, rate in requests) + lost,
        errors + lost,
        quantile(0.5, times),
        quantile(0.99, times),
        tuple(_stage_row(wanted.name, stage, runtimes) for stage in _stage_names(wanted)),
    )


def _all_increases(
    changes: Iterable[ScrapeDelta], name: str, **labels: str
) -> Iterator[tuple[Labels, float]]:
    for change in changes:
        yield from change.increases(name, **labels)


def _is_ok(code: str) -> bool:
    """Of gRPC by name, or of HTTP."""
    return code == "OK" or code.startswith("2")


def _stage_names(pipeline: pipeline_pb2.Pipeline) -> list[str]:
    """Of all its chains, each once."""
    chains = [pipeline.chain, *(v.chain for v in pipeline.traffic.variants)]
    chains.append(pipeline.traffic.shadow.chain)
    return list(dict.fromkeys(stage for chain in chains for stage in chain))


def _stage_row(pipeline: str, stage: str, runtimes: Collection[ScrapeDelta]) -> StageRow:
    here = {"pipeline": pipeline, "stage": stage}
    times = list(_all_increases(runtimes, "hydro_stage_seconds_bucket", **here))
    return StageRow(
        stage,
        sum(change.rate("hydro_stage_rows_total", **here) for change in runtimes),
        sum(change.rate("hydro_stage_failed_rows_total", **here) for change in runtimes),
        _ms(quantile(0.5, times)),
        _ms(quantile(0.99, times)),
        int(sum(c.after.total("hydro_stage_calls_active", **here) for c in runtimes)),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def _process_rows(
    now: MeshStatus, changes: Mapping[tuple[str, str], ScrapeDelta]
) -> tuple[ProcessRow, ...]:
    return tuple(_process_row(now, target, changes) for target in now.status.targets)


def _process_row(
    now: MeshStatus, target: pb.MetricsTarget, changes: Mapping[tuple[str, str], ScrapeDelta]
) -> ProcessRow:
    change = changes.get((target.part, target.instance))
    if change is None:
        return ProcessRow(target.part, target.instance, "does not answer", None, None)
    cpu, memory = _cpu_and_memory(target.part, change)
    queue, batch = _queue_and_batch(change) if target.part == "runtime" else (None, None)
    lacking, nacks = _xds_state(now, target.instance) if target.part == "envoy" else (None, None)
    waiting = {e.instance for s in now.services for e in s.endpoints if not e.ready}
    state = "not ready" if target.instance in waiting else "ready"
    return ProcessRow(
        target.part, target.instance, state, cpu, memory, queue, batch, lacking, nacks
    )


def _xds_state(now: MeshStatus, node_id: str) -> tuple[int | None, int | None]:
    """What an Envoy lacks, and how often it has refused something."""
    lacking = next((node.lacking for node in now.status.nodes if node.id == node_id), None)
    told = [scrape for (part, _), scrape in now.scrapes.items() if part == "manager"]
    nacks = sum(scrape.total("hydro_xds_nacks_total", node=node_id) for scrape in told)
    return lacking, int(nacks) if told else None


def _cpu_and_memory(part: str, change: ScrapeDelta) -> tuple[float | None, float | None]:
    """Percent of a core, and MB."""
    if part == "envoy":  # it does not tell what it works
        return None, change.after.total("envoy_server_memory_allocated") / 1e6
    cpu = change.rate("process_cpu_seconds_total") * 100
    return cpu, change.after.total("process_resident_memory_bytes") / 1e6


def _queue_and_batch(change: ScrapeDelta) -> tuple[int, float | None]:
    """Rows that wait, and rows evaluated at a time."""
    count = sum(risen for _, risen in change.increases("hydro_model_batch_rows_count"))
    rows = sum(risen for _, risen in change.increases("hydro_model_batch_rows_sum"))
    return int(change.after.total("hydro_model_queue_rows")), rows / count if count else None
