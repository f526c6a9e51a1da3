"""What managers that share a mesh write in Consul: a record a pipeline, a report a manager. Pure.

A change of a pipeline is a record with a pending pipeline or a deletion, and with its owner: the
manager that brings the change to its end. All managers follow the record and report how far they
are; the owner goes on when all that are alive have come along.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.rpc import status_pb2

from hydro.manager.v1 import pipeline_pb2, policy_pb2
from hydro_services import errors
from hydro_services.errors import HydroError, NewerVersion
from hydro_services.manager.domain import conversion, references
from hydro_services.manager.domain.state import PendingPipeline, Spec, Stages, StoredPipeline

FORM = 1
"""Of all that managers write in Consul; a form to come says so in the field `form`."""
_ODD = (ValueError, TypeError, KeyError, AttributeError, RecursionError, ParseError, HydroError)
"""What reading raises when somebody else has written."""


@dataclass(frozen=True, slots=True)
class Record:
    """A pipeline, and the change of it that is under way."""

    pipeline: StoredPipeline | None = None
    """As it is kept."""
    pending: PendingPipeline | None = None
    """What is to take its place."""
    deleting: bool = False
    """Envoys may still have it; it is kept no more."""
    owner: str = ""
    """The manager that makes the change, in this incarnation of its process."""

    @property
    def is_changing(self) -> bool:
        return self.pending is not None or self.deleting


@dataclass(frozen=True, slots=True)
class VersionedRecord:
    """A record as Consul has it."""

    record: Record
    index: int
    """Grows with each change of it."""


def publish_pending(record: Record) -> Record:
    """All managers have loaded what it needs: Envoys may have it."""
    assert record.pending
    return replace(record, pending=replace(record.pending, published=True, error=None))


def fail_pending(record: Record, error: HydroError) -> Record:
    """What is wanted cannot be, as long as nothing changes; Envoys are not to have it."""
    assert record.pending
    return replace(record, pending=replace(record.pending, published=False, error=error))


def promote_pending(record: Record) -> Record:
    """All Envoys serve it."""
    assert record.pending
    return Record(StoredPipeline(record.pending.spec, record.pending.stages))


def end_change(record: Record) -> Record | None:
    """The change is given up, or the deletion is done."""
    return Record(record.pipeline) if record.pipeline else None


def to_json(record: Record) -> bytes:
    """For the KV store, and for people who look there."""
    content: dict[str, Any] = {}
    if record.pipeline:
        content["pipeline"] = _pipeline_json(record.pipeline.spec, record.pipeline.stages)
    if record.pending:
        # The key's name is that of the first form; managers of another version read it during an
        # upgrade.
        content["trial"] = _pipeline_json(record.pending.spec, record.pending.stages)
        content["published"] = record.pending.published
        if record.pending.error:
            content["error"] = MessageToDict(errors.to_status(record.pending.error))
        if not record.pending.asked:
            content["asked"] = False
    if record.deleting:
        content["deleting"] = True
    if record.owner:
        content["owner"] = record.owner
    return json.dumps(content, indent=1, sort_keys=True).encode()


def from_json(body: bytes) -> Record:
    """The inverse of `to_json`.

    Raises:
        FailedPrecondition: somebody else wrote it.
        NewerVersion: it is of a form to come.
    """
    try:
        content = json.loads(body)
        check_form(content)
        return Record(
            _parse_pipeline(content.get("pipeline")),
            _parse_pending(content),
            bool(content.get("deleting")),
            str(content.get("owner", "")),
        )
    except NewerVersion:
        raise
    except _ODD as error:
        raise errors.FailedPrecondition(f"it is not a pipeline's record: {error}") from error


def check_form(content: Mapping[str, Any]) -> None:
    """Raises NewerVersion: what managers share is of a form that this version does not know."""
    form = content.get("form", FORM)
    if isinstance(form, int) and form > FORM:
        got = f"what is in Consul has form {form}, want {FORM}"
        way_out = "a newer hydro-serving has written it: start that, or give another --registry"
        raise NewerVersion(f"{got}; {way_out}")


def check_name(record: Record, name: str) -> None:
    """Raises FailedPrecondition: it is the record of another pipeline."""
    specs = [each.spec for each in (record.pipeline, record.pending) if each]
    # A record that somebody has copied to another key must not serve under that name.
    if others := [spec.name for spec in specs if spec.name != name]:
        raise errors.FailedPrecondition(f"it is the record of pipeline {others[0]!r}")


def _pipeline_json(spec: Spec, stages: Stages) -> dict[str, Any]:
    return MessageToDict(conversion.pipeline_record(StoredPipeline(spec, stages)))


def _parse_pending(content: Mapping[str, Any]) -> PendingPipeline | None:
    wanted, error = content.get("trial"), content.get("error")
    if wanted is None:
        return None
    # Fields that later versions have added are missing in records of earlier ones.
    is_published, asked = bool(content["published"]), bool(content.get("asked", True))
    reason = _parse_error(error) if error is not None else None
    if wanted.get("stages"):
        pipeline = _parse_pipeline(wanted)
        assert pipeline
        return PendingPipeline(pipeline.spec, pipeline.stages, is_published, reason, asked)
    return PendingPipeline(
        _check_spec(conversion.parse_stored_spec(_parse_message(wanted))), error=reason, asked=asked
    )


def _parse_pipeline(content: Any) -> StoredPipeline | None:
    if content is None:
        return None
    pipeline = conversion.parse_pipeline_record(_parse_message(content))
    _check_spec(pipeline.spec)
    return pipeline


def _check_spec(spec: Spec) -> Spec:
    references.check_name(spec.name, "name")
    return spec


def _parse_message(content: Any) -> pipeline_pb2.Pipeline:
    # Of a policy that is not known no part may be left out: it could keep somebody out.
    ParseDict(content.get("policy", {}), policy_pb2.Policy())
    return ParseDict(content, pipeline_pb2.Pipeline(), ignore_unknown_fields=True)


@dataclass(frozen=True, slots=True)
class Report:
    """How far a manager is. The numbers are indexes of records that are being changed."""

    incarnation: str
    """Changes with each start of its process."""
    loaded: Mapping[str, int] = field(default_factory=dict)
    """By pipeline: the pending pipeline's models are loaded wherever traffic goes."""
    applied: Mapping[str, int] = field(default_factory=dict)
    """By pipeline: its Envoys have it, or have it no more."""
    failed: Mapping[str, tuple[int, HydroError]] = field(default_factory=dict)
    """By pipeline: why that cannot be."""
    envoys: Sequence[str] = ()
    """Those that are connected to it."""
    has_gateway: bool = False
    """Clients reach the mesh by one of them."""
    seen: int = 0
    """Consul's index up to which it has all records."""
    demand: str = ""
    """Equal where the demanded models are, and all its Envoys know; empty while they do not."""
    lagging: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By pipeline: those of its Envoys that are late with it; others do not wait for them."""

    def to_json(self) -> bytes:
        """For the KV store."""
        failed = {n: [i, MessageToDict(errors.to_status(e))] for n, (i, e) in self.failed.items()}
        content = {
            "incarnation": self.incarnation,
            "loaded": self.loaded,
            "applied": self.applied,
            "failed": failed,
            "envoys": self.envoys,
            "has_gateway": self.has_gateway,
            "seen": self.seen,
            "demand": self.demand,
            "lagging": self.lagging,
        }
        return json.dumps(content, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Report:
        """The inverse of `to_json`.

        Raises:
            FailedPrecondition: somebody else wrote it.
        """
        try:
            content = json.loads(body)
            return cls(
                str(content["incarnation"]),
                _parse_indexes(content["loaded"]),
                _parse_indexes(content["applied"]),
                {n: (int(i), _parse_error(e)) for n, (i, e) in content["failed"].items()},
                [str(envoy) for envoy in content["envoys"]],
                bool(content["has_gateway"]),
                int(content["seen"]),
                str(content["demand"]),
                {n: [str(i) for i in ids] for n, ids in content.get("lagging", {}).items()},
            )
        except _ODD as error:
            raise errors.FailedPrecondition(f"it is not a manager's report: {error}") from error


def _parse_indexes(content: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(index) for name, index in content.items()}


def _parse_error(content: Any) -> HydroError:
    return errors.from_status(ParseDict(content, status_pb2.Status()))


Reports: TypeAlias = Mapping[str, Report]
"""By manager."""


def find_failure(reports: Reports, name: str, index: int) -> HydroError | None:
    """Why the change of a pipeline cannot be."""
    for report in reports.values():
        at, error = report.failed.get(name, (0, None))
        # Of an earlier index it was about another wish, or another try.
        if error and at == index:
            return error
    return None


def managers_behind(reached: Mapping[str, Mapping[str, int]], name: str, index: int) -> list[str]:
    """The managers that have not come along.

    Args:
        reached: `loaded` or `applied`, by manager.
        name: of the pipeline.
        index: of its record.
    """
    return sorted(m for m, indexes in reached.items() if indexes.get(name, 0) < index)


def lagging_envoys(reports: Iterable[Report]) -> dict[str, tuple[str, ...]]:
    """By pipeline: the Envoys of these managers that are late with it, sorted."""
    ids_by_pipeline: dict[str, set[str]] = {}
    for report in reports:
        for name, ids in report.lagging.items():
            ids_by_pipeline.setdefault(name, set()).update(ids)
    return {name: tuple(sorted(ids)) for name, ids in ids_by_pipeline.items()}


def is_agreed(reports: Iterable[Report]) -> bool:
    """All managers demand the same models, and all their Envoys know."""
    demands = {report.demand for report in reports}
    # An empty digest says that a manager's Envoys have not taken all of it yet.
    return len(demands) == 1 and "" not in demands
