"""`hydro demo`: the whole mesh with the example models, and two rows through two of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_services import client
from hydro_services.cli import apply_progress, example_models
from hydro_services.cli.apply_progress import ApplyProgress
from hydro_services.cli.command import Command, Option
from hydro_services.cli.options import PORTS, folder, log_level
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES
from hydro_services.cli.pipeline_texts import show_pipeline
from hydro_services.cli.predict import PredictOptions, predict
from hydro_services.cli.up import run_mesh
from hydro_services.errors import HydroError
from hydro_services.repository.roots import Root
from hydro_services.up.layout import Options, choose_runtimes
from hydro_services.up.mesh import is_installed

CHAIN = ("serving-customscikit/pm_scikit", "serving-localml-spark/pm_spark")
COLUMNS = ("Title1", "Title2", "probability", "prediction", "predictionLabel")
LOAD_S = 60.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    data: Path
    manager_port: int
    gateway_port: int
    repository_port: int
    xds_port: int
    once: bool
    log_level: str
    json: bool


def run_demo(options: DemoOptions, output: Output) -> int:
    """Serves until Ctrl-C, or with --once until the rows are answered."""
    # Before anything starts: without their libraries it would leave them out.
    choose_runtimes([(stage.partition("/")[0], 1) for stage in CHAIN], is_installed)
    models, rows = example_models.copy_examples(options.data)

    async def use(running: Options) -> None:
        await _show_answers(running, rows, output)
        if not options.once:
            output.note(_what_to_paste(running, rows))
            await asyncio.Event().wait()

    mesh = Options(
        models=(Root(str(models)),),
        trusted=None,
        data=options.data,
        host="127.0.0.1",
        manager_port=options.manager_port,
        gateway_port=options.gateway_port,
        repository_port=options.repository_port,
        xds_port=options.xds_port,
        runtimes=(),
        log_level=options.log_level,
    )
    run_mesh(mesh, output, use)
    return 0


async def _show_answers(running: Options, rows: Path, output: Output) -> None:
    wanted = pb.Pipeline(name="endpointML", transport_type="http", chain=CHAIN)
    progress = ApplyProgress(wanted.name, Output(err=output.err))  # with --json, the answers alone
    async with client.connect_channel("manager", running.at("manager")) as channel:
        manager = client.ManagerClient(channel)
        applied = await apply_progress.apply_pipeline(manager, wanted, LOAD_S, progress)
    if not output.json:
        show_pipeline(applied, output)
        output.data("\n")
    table = None if output.json else COLUMNS
    asked = PredictOptions(wanted.name, str(rows), running.at("gateway"), table, output.json)
    if await predict(asked, output):
        raise HydroError("a row failed")


def _what_to_paste(running: Options, rows: Path) -> str:
    at = {name: f"{running.at(name)}" for name in ("gateway", "manager", "repository")}
    return f"""
The mesh serves. To paste:
  curl -H 'content-type: application/json' -d @{rows} \\
    http://{at["gateway"]}/api/v1/serve/endpointML
  hydro predict endpointML {rows} --gateway {at["gateway"]}
  hydro pipelines list --manager {at["manager"]}
  curl http://{at["manager"]}/api/v1/pipelines
  curl http://{at["repository"]}/metadata/pm_scikit

Ctrl-C stops."""


COMMANDS = (
    Command(
        "demo",
        SUMMARIES["demo"],
        ("hydro demo", "hydro demo --once", "hydro demo --gateway-port 9083"),
        (
            Option(
                "--once",
                "stop after the answers instead of at Ctrl-C",
                default=False,
                is_flag=True,
            ),
            folder("data", ".hydro/demo", "where models and all state are kept"),
            *PORTS,
            log_level("WARNING"),
        ),
        DemoOptions,
        run_demo,
        "Starts the mesh with copies of the example models, makes a pipeline of two of them, and\n"
        "sends two rows through it. It serves until Ctrl-C, and takes your own models meanwhile:\n"
        "see hydro deploy.",
    ),
)
