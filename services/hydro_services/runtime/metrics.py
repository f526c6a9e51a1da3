"""The metrics of a runtime's models and of the stages that they serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from hydro.runtime.v1 import runtime_service_pb2 as pb
from hydro_envoy.headers import KEY_DIGITS
from hydro_services.metrics import Buckets, Family, Reading
from hydro_services.runtime.counts import Histogram, StageCounts
from hydro_services.runtime.host import Host, HostedModel
from hydro_services.tracing import Exporter

MODEL = ("model", "version", "digest")
STAGE = ("pipeline", "stage", *MODEL)
_STATES = {
    pb.MODEL_STATE_LOADING: "loading",
    pb.MODEL_STATE_LOADED: "loaded",
    pb.MODEL_STATE_FAILED: "failed",
}
_Labels = tuple[str, ...]


def metrics_reader(host: Host, exporter: Exporter | None) -> Callable[[], Reading]:
    """Copies the numbers of a process; a copy costs microseconds a stage."""

    def take() -> Reading:
        models = [(_model_labels(hosted), hosted) for hosted in host.models.values()]
        families = (
            *_model_families(models),
            *_stage_families(models),
            *_process_families(host, exporter),
        )
        return lambda: families

    return take


def _model_labels(hosted: HostedModel) -> _Labels:
    return hosted.id.model, hosted.id.version, hosted.id.digest[:KEY_DIGITS]


def _model_families(models: list[tuple[_Labels, HostedModel]]) -> Iterator[Family]:
    states = [
        ((*labels, name), float(hosted.state == state))
        for labels, hosted in models
        for state, name in _STATES.items()
    ]
    yield Family(
        "hydro_model_state", "gauge", "1 for the state of a model", (*MODEL, "state"), states
    )
    loaded = [(labels, hosted.batcher) for labels, hosted in models if hosted.batcher]
    yield Family(
        "hydro_model_queue_rows",
        "gauge",
        "Rows that wait for the model",
        MODEL,
        [(labels, float(batcher.waiting_rows)) for labels, batcher in loaded],
    )
    yield Family(
        "hydro_model_batch_rows",
        "histogram",
        "Rows evaluated together",
        MODEL,
        [(labels, _to_buckets(batcher.counts.batch_rows)) for labels, batcher in loaded],
    )
    yield Family(
        "hydro_model_evaluation_seconds",
        "histogram",
        "How long an evaluation took",
        MODEL,
        [(labels, _to_buckets(batcher.counts.seconds)) for labels, batcher in loaded],
    )


def _stage_families(models: list[tuple[_Labels, HostedModel]]) -> Iterator[Family]:
    stages: list[tuple[_Labels, StageCounts]] = [
        ((*key, *labels), counts)
        for labels, hosted in models
        if hosted.batcher
        for key, counts in hosted.batcher.counts.stages.items()
    ]
    yield Family(
        "hydro_stage_calls",
        "counter",
        "Calls and streams that ended, by gRPC's code",
        (*STAGE, "code"),
        list(chain.from_iterable(_with_key(labels, counts.calls) for labels, counts in stages)),
    )
    yield Family(
        "hydro_stage_calls_active",
        "gauge",
        "Calls and streams under way",
        STAGE,
        [(labels, float(counts.active)) for labels, counts in stages],
    )
    yield Family(
        "hydro_stage_rows",
        "counter",
        "Rows that came in",
        STAGE,
        [(labels, float(counts.rows)) for labels, counts in stages],
    )
    yield Family(
        "hydro_stage_failed_rows",
        "counter",
        "Rows that failed in this stage, by reason",
        (*STAGE, "reason"),
        list(chain.from_iterable(_with_key(labels, counts.failed) for labels, counts in stages)),
    )
    yield Family(
        "hydro_stage_seconds",
        "histogram",
        "From when rows have come until their answer is ready, their turn waited for",
        STAGE,
        [(labels, _to_buckets(counts.seconds)) for labels, counts in stages],
    )


def _with_key(labels: _Labels, counts: dict[str, int]) -> list[tuple[_Labels, float]]:
    return [((*labels, key), float(count)) for key, count in counts.items()]


def _process_families(host: Host, exporter: Exporter | None) -> Iterator[Family]:
    yield Family(
        "hydro_runtime_refused_calls",
        "counter",
        "Calls for models that are not loaded here",
        (),
        [((), float(host.refused))],
    )
    if exporter:
        outcomes = {"sent": exporter.sent, "dropped": exporter.dropped}
        yield Family(
            "hydro_spans",
            "counter",
            "Spans by what became of them",
            ("outcome",),
            _with_key((), outcomes),
        )


def _to_buckets(found: Histogram) -> Buckets:
    return Buckets(found.bounds, tuple(found.counts), found.total)
