"""The steps of a deployment; when one fails, what was begun is taken back, the last first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_runtimes import files, model_formats
from hydro_runtimes.errors import ModelError, UntrustedModel
from hydro_runtimes.load import load
from hydro_services import errors
from hydro_services.codecs import json_rows
from hydro_services.deployment import answers, preparation
from hydro_services.deployment.examples import Example, read_example
from hydro_services.deployment.mesh import RunningMesh
from hydro_services.deployment.preparation import PreparedModel
from hydro_services.deployment.repository_folder import RepositoryFolder
from hydro_services.deployment.request import ApplyPipeline, Deployed, DeployRequest
from hydro_services.deployment.sample_row import make_row
from hydro_services.deployment.source import open_source
from hydro_services.runtime.scoring import score_rows
from hydro_services.security.trusted_models import add_line, remove_line

UNDO_S = 20.0
"""How long the pipeline that was there before may take to serve alone again."""


@dataclass
class Trust:
    """Whether the model may run code: given in advance, or by who is asked."""

    is_given: bool
    """Any code may run."""
    ask: Callable[[str], bool]
    """Given why it is needed."""
    command: str
    """That gives it in advance."""
    is_used: bool = False
    """The folder that is to be served needs it."""

    def require(self, why: str) -> None:
        """Raises ModelRefused: it is not given; the message has the command that gives it."""
        if not self.is_given:
            self.is_given = self.ask(why)
        if not self.is_given:
            way_out = f"if you trust who made it: {self.command}"
            raise errors.ModelRefused(f"{why}; {way_out}", command=self.command)


@dataclass(frozen=True, slots=True)
class _Undoing:
    """What is done when a step fails, the last first; what cannot be done keeps out none else."""

    stack: contextlib.ExitStack
    tell: Callable[[str], None]

    def add(self, what: str, action: Callable[..., None], *arguments: Any) -> None:
        self.stack.callback(self._undo, what, action, arguments)

    def _undo(self, what: str, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            action(*arguments)
            self.tell(f"taken back: {what}")
        except (errors.HydroError, OSError) as error:
            self.tell(f"not taken back: {what} ({error})")


def deploy(
    request: DeployRequest,
    mesh: RunningMesh,
    trust: Trust,
    tell: Callable[[str], None],
    apply: ApplyPipeline,
) -> Deployed:
    """Brings a model to serve as a pipeline of one stage.

    Args:
        request: what is wanted.
        mesh: that is to serve it.
        trust: whether its code may run.
        tell: called with each step that is done.
        apply: applies a pipeline, and waits until it serves.

    Raises:
        ModelError, errors.HydroError, KeyboardInterrupt: a step failed; what was before it is as it
            was.
    """
    folder, trusted = mesh.find_home(request.models, request.trusted)
    before = mesh.find_pipeline(request.name)
    check_pipeline(request.name, before)
    with (
        open_source(request.model) as source,
        folder.lock(request.name),
        contextlib.ExitStack() as undo,
    ):
        undoing = _Undoing(undo, tell)
        example = read_example(request.example) if request.example else None
        with _prepare(request, source, folder, example, trust) as (prepared, staged):
            tell(f"{request.model} is a model of the format {prepared.format.name}")
            check_service(prepared, mesh.services())
            wanted, compared = _answers_here(prepared, staged, trust)
            digest = files.digest_folder(staged)
            if trust.is_used and add_line(trusted, digest, request.name):
                undoing.add("the trust in it", remove_line, trusted, digest)
            placed = folder.placed(source) or folder.publish(request.name, staged)
        if placed.is_new:
            undoing.add("the new version", folder.remove_version, placed)
        mesh.wait_until_read(request.name, placed.version, placed.digest, request.timeout_s)
        tell(f"the repository has read version {placed.version}, in {placed.folder}")
        stage = f"{prepared.format.service}/{request.name}:{placed.version}"
        undoing.add("the pipeline", _restore_pipeline, mesh, request.name, before, stage)
        mesh.apply(_wanted_pipeline(request.name, before, stage), apply, request.timeout_s)
        tell(f"pipeline {request.name} serves {stage}")
        got = _try_rows(mesh, request.name, prepared, tell)
        if got and wanted is not None:
            is_equal = answers.compare_answers(request.name, got, wanted)
            but = "" if is_equal else ", but for rounding"
            tell(f"its answers to {_count(got)} are those of {compared}{but}")
        undo.pop_all()
    return Deployed(
        request.name,
        placed.version,
        placed.digest,
        prepared.format.name,
        prepared.format.service,
        placed.folder,
        placed.is_new,
        prepared.rows or [make_row(prepared.signature)],
        got,
        compared if got else "",
    )


def check_pipeline(name: str, before: pb.Pipeline | None) -> None:
    """Raises FailedPrecondition: a pipeline of this name is more than one model."""
    if before is None:
        return
    chain = _latest(before).chain
    if len(chain) > 1:
        message = f"pipeline {name!r} has {len(chain)} stages ({' -> '.join(chain)})"
        way_out = "deploy under another name, by --name, and change its stages by hydro pipelines"
        raise errors.FailedPrecondition(f"{message}; {way_out}", pipeline=name)


def check_service(prepared: PreparedModel, running: Sequence[str]) -> None:
    """Raises FailedPrecondition: the mesh has no process that serves the format."""
    service = prepared.format.service
    if service in running:
        return
    extras = {f.extra for f in model_formats.by_service()[service] if f.extra}
    install = f"pip install 'hydro-serving[{','.join(sorted(extras))}]' where the mesh runs"
    message = f"the mesh runs no {service}, which models of format {prepared.format.name} need"
    way_out = f"{install}, and start it again" if extras else "start it with --runtime"
    raise errors.FailedPrecondition(f"{message}; {way_out}", service=service)


@contextlib.contextmanager
def _prepare(
    request: DeployRequest,
    source: Path,
    folder: RepositoryFolder,
    example: Example | None,
    trust: Trust,
) -> Iterator[tuple[PreparedModel, Path]]:
    """The model's folder: a new one, or the source where the repository has that already."""
    if placed := folder.placed(source):
        if placed.model != request.name:
            way_out = f"leave out --name, or give --name {placed.model}"
            raise errors.InvalidArgument(f"{source} is the model {placed.model!r}; {way_out}")
        yield preparation.describe(source, example, trust.require), source
        return
    folder.check_name(request.name)
    with folder.staging(request.name) as staged:
        yield preparation.prepare(source, staged, example, trust.require), staged


def _answers_here(
    prepared: PreparedModel, folder: Path, trust: Trust
) -> tuple[Sequence[Any] | None, str]:
    """The model's answers to the example in this process, and what gave them; None: unknown."""
    trust.is_used = prepared.format.runs_code
    if prepared.proof is not None:
        return prepared.proof, "the model that was saved"
    if not prepared.rows:
        return None, ""
    try:
        prepared.format.require_libraries(folder)
    except ModelError:
        return None, ""
    rows = json_rows.parse_array(json_rows.write_array(prepared.rows))
    try:
        evaluator = load(folder, {files.digest_folder(folder)} if trust.is_used else ())
    except UntrustedModel as error:
        trust.require(error.message)
        trust.is_used = True
        evaluator = load(folder, {error.digest})
    scored, _ = score_rows(evaluator, rows)
    return orjson.loads(json_rows.write_array(scored)), "the model in this process"


def _wanted_pipeline(name: str, before: pb.Pipeline | None, stage: str) -> pb.Pipeline:
    """With the policy and the other chains of the pipeline that is replaced."""
    wanted = pb.Pipeline(name=name, transport_type="http", chain=[stage])
    if before:
        latest = _latest(before)
        wanted.MergeFrom(_spec(latest))
        wanted.chain[:] = [stage]
        wanted.etag = latest.etag
    return wanted


def _latest(pipeline: pb.Pipeline) -> pb.Pipeline:
    """What was asked for last: what is pending, or else what serves."""
    return pipeline.pending if pipeline.HasField("pending") else pipeline


def _spec(pipeline: pb.Pipeline) -> pb.Pipeline:
    """What a user gives of a pipeline."""
    spec = pb.Pipeline(name=pipeline.name, transport_type=pipeline.transport_type)
    spec.chain.extend(pipeline.chain)
    for field in ("policy", "traffic"):
        if pipeline.HasField(field):
            getattr(spec, field).CopyFrom(getattr(pipeline, field))
    return spec


def _restore_pipeline(mesh: RunningMesh, name: str, before: pb.Pipeline | None, stage: str) -> None:
    """The pipeline as it was, unless somebody else has changed it since."""
    now = mesh.find_pipeline(name)
    if now is None:
        return
    latest = _latest(now)
    if [*latest.chain] != [stage]:
        return
    if before is None:
        mesh.delete_pipeline(name)
        return
    spec = _spec(before)
    spec.etag = latest.etag
    with contextlib.suppress(errors.Aborted):
        mesh.apply(spec, _apply_quietly, UNDO_S)


async def _apply_quietly(manager: Any, wanted: pb.Pipeline, timeout_s: float) -> pb.Pipeline:
    applied: pb.Pipeline = await manager.apply_pipeline(wanted, timeout_s)
    return applied


def _try_rows(
    mesh: RunningMesh, name: str, prepared: PreparedModel, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The mesh's answers to the example.

    Raises:
        ModelRefused: a row failed.
    """
    if not prepared.rows:
        return []
    try:
        got = mesh.predict(name, prepared.rows)
    except (errors.Unauthenticated, errors.PermissionDenied) as error:
        tell(f"not tried: {error.message}; give --api-key-file")
        return []
    if failure := answers.first_failure(got):
        raise errors.ModelRefused(f"the model does not answer: {failure}", pipeline=name)
    return got


def _count(rows: Sequence[object]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"
