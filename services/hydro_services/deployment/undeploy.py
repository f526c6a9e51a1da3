"""Takes a deployed model away: its pipeline, its folder, and the trust in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_services import errors
from hydro_services.deployment.mesh import RunningMesh
from hydro_services.deployment.repository_folder import RepositoryFolder
from hydro_services.manager.domain.references import parse_stage
from hydro_services.security.trusted_models import remove_line


@dataclass(frozen=True, slots=True)
class Undeployed:
    """What was there, and is no more."""

    pipeline: bool
    versions: tuple[str, ...]


def undeploy(name: str, mesh: RunningMesh, folder: RepositoryFolder, trusted: Path) -> Undeployed:
    """Deletes the pipeline, then all deployed versions of the model.

    A model that was not deployed stays, and so does what other pipelines use.

    Raises:
        errors.NotFound: there is neither.
        errors.FailedPrecondition: the pipeline has several stages, or others use the model.
    """
    with folder.lock(name):
        pipelines = mesh.pipelines()
        check_use(name, pipelines)
        is_there = any(pipeline.name == name for pipeline in pipelines)
        if not is_there and not folder.versions(name):
            message = f"neither a pipeline nor a deployed model is called {name!r}"
            raise errors.NotFound(f"{message}; see hydro pipelines list", model=name)
        if is_there:
            mesh.delete_pipeline(name)
        digests = folder.remove_model(name)
        for digest in digests.values():
            remove_line(trusted, digest)
        return Undeployed(is_there, tuple(digests))


def check_use(name: str, pipelines: Sequence[pb.Pipeline]) -> None:
    """Raises FailedPrecondition: more than the model's own pipeline would end."""
    for pipeline in pipelines:
        if pipeline.name == name and len(pipeline.chain) > 1:
            message = f"pipeline {name!r} has {len(pipeline.chain)} stages"
            way_out = f"delete it by hydro pipelines delete {name}"
            raise errors.FailedPrecondition(f"{message}; {way_out}", pipeline=name)
        if pipeline.name != name and name in _models(pipeline):
            message = f"pipeline {pipeline.name!r} uses the model {name!r}, too"
            way_out = f"change it, or delete it by hydro pipelines delete {pipeline.name}"
            raise errors.FailedPrecondition(f"{message}; {way_out}", pipeline=pipeline.name)


def _models(pipeline: pb.Pipeline) -> set[str]:
    """Those of all its chains, also of what is pending."""
    chains = [pipeline.chain, pipeline.traffic.shadow.chain]
    chains += [variant.chain for variant in pipeline.traffic.variants]
    own = {parse_stage(stage, at).model for chain in chains for at, stage in enumerate(chain, 1)}
    return own | (_models(pipeline.pending) if pipeline.HasField("pending") else set())
