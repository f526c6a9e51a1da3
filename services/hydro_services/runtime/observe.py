"""Observes one call of a stage: counts it, and makes its span where one is wanted."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

from google.rpc import error_details_pb2, status_pb2

from hydro.serving.v1 import frame_pb2 as pb
from hydro_envoy import headers
from hydro_services import errors
from hydro_services.runtime.counts import Counts
from hydro_services.runtime.stage import FrameInStage
from hydro_services.tracing import Exporter, Parent, Span, parse_parent
from hydro_services.tracing.span import new_id


class CallObserver:
    """A context around a call; the exception that leaves it is the call's."""

    __slots__ = (
        "_counts",
        "_exporter",
        "_failed",
        "_metadata",
        "_parent",
        "_rows",
        "_start_ns",
        "_wall_ns",
    )

    def __init__(
        self, counts: Counts, metadata: Mapping[str, str], exporter: Exporter | None
    ) -> None:
        pipeline, stage = metadata.get(headers.PIPELINE, ""), metadata.get(headers.STAGE, "")
        self._counts = counts.stage(pipeline, stage)
        self._metadata = metadata
        self._exporter = exporter
        self._parent: Parent | None = None

    def __enter__(self) -> CallObserver:
        self._counts.active += 1
        if self._exporter and (found := parse_parent(self._metadata)):
            self._wall_ns, self._start_ns = time.time_ns(), time.perf_counter_ns()
            self._parent, self._rows, self._failed = found, 0, Counter[str]()
        return self

    def count_answered(self, frames: Sequence[FrameInStage], start: float) -> None:
        """Frames were answered that had come at `start`, by `time.perf_counter`."""
        if not frames:
            return
        counts = self._counts
        counts.seconds.add(time.perf_counter() - start)
        rows = 0
        for frame in frames:
            new = frame.failed_count - frame.came_failed
            rows += frame.frame.table.rows + new
            if new:
                self._count_failures(frame, new)
        counts.rows += rows
        if self._parent:
            self._rows += rows

    def _count_failures(self, frame: FrameInStage, count: int) -> None:
        # Those of earlier stages were there before, but errors stand by row.
        stage = self._metadata.get(headers.STAGE, "")
        reasons = [reason for by, reason in _failure_reasons(frame.frame) if by in (stage, "")][
            -count:
        ]
        for reason in reasons:
            self._counts.failed[reason] += 1
        if self._parent:
            self._failed.update(reasons)

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        self._counts.active -= 1
        code, reason = _code_and_reason(error)
        self._counts.calls[code] += 1
        if self._exporter and self._parent:
            self._exporter.add(self._make_span(self._parent, reason))

    def _make_span(self, parent: Parent, reason: str) -> Span:
        metadata = self._metadata
        model, version = headers.name_and_version(metadata.get(headers.MODEL, ""))
        stage = metadata.get(headers.STAGE, "")
        tags = {
            "pipeline": metadata.get(headers.PIPELINE, ""),
            "stage": stage,
            "model": model,
            "version": version,
            "rows": str(self._rows),
        }
        if self._failed:
            tags["failed_rows"] = str(self._failed.total())
            reason = reason or ", ".join(sorted(self._failed))
        duration_ns = time.perf_counter_ns() - self._start_ns  # whatever the wall clock does
        return Span(parent, new_id(), stage, self._wall_ns, duration_ns, tags, reason)


def _code_and_reason(error: BaseException | None) -> tuple[str, str]:
    """The code of an error, by gRPC, and its reason."""
    if error is None:
        return "OK", ""
    if isinstance(error, errors.HydroError):
        code, reason = errors.STATUS[type(error)]
        return code.name, f"{reason}: {error.message}"
    return ("INTERNAL", "INTERNAL") if isinstance(error, Exception) else ("CANCELLED", "CANCELLED")


def _failure_reasons(frame: pb.Frame) -> Iterator[tuple[str, str]]:
    """By which stage, and why, each of the rows failed; or the frame as a whole, by nobody."""
    if frame.HasField("failure"):
        yield "", _error_info(frame.failure).reason
    reasons_by_details: dict[bytes, tuple[str, str]] = {}  # Most often many rows fail alike.
    for error in frame.errors:
        key = b"".join([detail.value for detail in error.status.details])
        if key not in reasons_by_details:
            info = _error_info(error.status)
            reasons_by_details[key] = info.metadata.get("stage", ""), info.reason
        yield from itertools.repeat(reasons_by_details[key], error.rows or 1)


def _error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            break
    return info
