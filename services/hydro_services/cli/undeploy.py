"""`hydro undeploy`: takes a deployed model and its pipeline away."""

from __future__ import annotations

from dataclasses import dataclass

from hydro_services.cli.command import Command, Option
from hydro_services.cli.mesh_call import MESH_CALL, MeshOptions
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeployOptions(MeshOptions):
    name: str


def run_undeploy(options: UndeployOptions, output: Output) -> int:
    from hydro_services.deployment.mesh import connect
    from hydro_services.deployment.undeploy import undeploy

    with connect(options.addresses) as mesh:
        folder, trusted = mesh.find_home(options.models, options.trusted)
        gone = undeploy(options.name, mesh, folder, trusted)
    if output.json:
        output.value(
            {"name": options.name, "pipeline": gone.pipeline, "versions": [*gone.versions]}
        )
    else:
        parts = ["its pipeline"] if gone.pipeline else []
        parts += [f"version {version}" for version in gone.versions] or ["no deployed version"]
        output.note(f"undeployed {options.name}: {', '.join(parts)}")
    return 0


COMMANDS = (
    Command(
        "undeploy",
        SUMMARIES["undeploy"],
        ("hydro undeploy churn", "hydro undeploy churn --json"),
        (Option("NAME", "as it was deployed", field="name"), *MESH_CALL),
        UndeployOptions,
        run_undeploy,
        "Deletes the pipeline, then all versions that hydro deploy wrote, and trusts them no more.",
    ),
)
