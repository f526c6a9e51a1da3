"""Whether newer models fit a pipeline: its clients send and get columns as before. Pure.

Newer versions take over by themselves, so that nobody has looked at them with the pipeline's
clients in mind. Who applies the pipeline again takes them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hydro.runtime.v1.signature_pb2 import Field
from hydro_envoy.mesh import SHADOW
from hydro_services.errors import FailedPrecondition
from hydro_services.manager.domain.column_check import describe_columns, fits
from hydro_services.manager.domain.state import ResolvedStage, Spec, Stages


def check_compatible(spec: Spec, before: Stages, after: Stages) -> None:
    """Compares what clients send to, and get from, each chain of a pipeline.

    Args:
        spec: of the pipeline.
        before: the stages that serve.
        after: those that are to take over.

    Raises:
        FailedPrecondition: a column that is sent is not read any more as it was, one is wanted that
            was not, or one that was given is not given as it was.
    """
    chains = spec.split(after)
    for variant, old in spec.split(before).items():
        problems = [*_input_problems(old, chains[variant])]
        if variant != SHADOW:  # whose answers nobody gets
            problems += _output_problems(old, chains[variant])
        if problems:
            changed = _describe_changed_models(old, chains[variant])
            raise FailedPrecondition(
                f"{changed} does not take over: {'; '.join(problems)}; "
                "publish a version that fits, or apply the pipeline again to take it",
                variant=variant,
            )


def _input_problems(
    before: Sequence[ResolvedStage], after: Sequence[ResolvedStage]
) -> Iterable[str]:
    """What clients that send the columns of before do wrong."""
    sent = _chain_inputs(before)
    for field in _chain_inputs(after).values():
        old = sent.get(field.name)
        if old is None:
            if not field.optional:
                yield f"it reads {describe_columns([field])}, which clients need not send now"
        elif not fits(old, field):
            sent_now = describe_columns([old])
            yield f"it reads {describe_columns([field])}, and clients send {sent_now}"
        elif old.optional and not field.optional:
            yield f"it needs {field.name!r}, which clients may leave out now"
        elif old.nullable and not field.nullable:
            yield f"it takes no null in {field.name!r}, which clients may send now"


def _output_problems(
    before: Sequence[ResolvedStage], after: Sequence[ResolvedStage]
) -> Iterable[str]:
    """What clients that want the columns of before miss."""
    given = _chain_outputs(after)
    for name, old in _chain_outputs(before).items():
        field = given.get(name)
        if field is None:
            yield f"it does not add {describe_columns([old])}, which clients get now"
        elif not fits(field, old):
            yield f"it adds {describe_columns([field])}, and clients get {describe_columns([old])}"
        elif field.optional and not old.optional:
            yield f"it may leave out {name!r}, which clients get always now"
        elif field.nullable and not old.nullable:
            yield f"it may give null in {name!r}, which clients never get now"


def _chain_inputs(stages: Sequence[ResolvedStage]) -> Mapping[str, Field]:
    """The columns that a chain reads and does not add itself, by name; the first reader's word."""
    fields: dict[str, Field] = {}
    added: set[str] = set()
    for stage in stages:
        for field in stage.model.signature.inputs:
            if field.name not in added:
                fields.setdefault(field.name, field)
        added |= {field.name for field in stage.model.signature.outputs}
    return fields


def _chain_outputs(stages: Sequence[ResolvedStage]) -> Mapping[str, Field]:
    """The columns that a chain adds, by name; the last word on each."""
    return {field.name: field for stage in stages for field in stage.model.signature.outputs}


def _describe_changed_models(
    before: Sequence[ResolvedStage], after: Sequence[ResolvedStage]
) -> str:
    """The models that change, with their versions."""
    changed = [
        new for old, new in zip(before, after, strict=True) if old.model.key != new.model.key
    ]
    names = ", ".join(f"{s.model.name!r} version {s.model.version!r}" for s in changed)
    return f"model {names or 'unchanged'}"
