"""`hydro pipelines`: what the manager keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_services import client, pipeline_json
from hydro_services.cli import apply_progress, render, values
from hydro_services.cli.apply_progress import ApplyProgress
from hydro_services.cli.command import Command, Option
from hydro_services.cli.manager_call import ManagerOptions, call_manager
from hydro_services.cli.options import MANAGER_CALL
from hydro_services.cli.output import Output
from hydro_services.cli.pipeline_texts import pipeline_state, show_changes, show_pipeline
from hydro_services.cli.usage import UsageError
from hydro_services.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class OneOptions(ManagerOptions):
    """Of `hydro pipelines get` and `hydro pipelines delete`."""

    name: str


@dataclass(frozen=True, slots=True)
class WantedOptions(ManagerOptions):
    """Of `hydro pipelines apply` and `hydro pipelines plan`: a name and stages, or a file."""

    name: str | None
    chain: tuple[str, ...]
    file: str | None


@dataclass(frozen=True, slots=True)
class ApplyOptions(WantedOptions):
    timeout_s: float


def list_pipelines(options: ManagerOptions, output: Output) -> int:
    pipelines = call_manager(options, lambda manager: manager.list_pipelines())
    if output.json:
        output.value([render.message_json(pipeline) for pipeline in pipelines])
        return 0
    if not pipelines:
        output.note("no pipelines yet; create one with `hydro pipelines apply NAME STAGE...`")
    rows = [(p.name, pipeline_state(p), " -> ".join(p.chain), p.error.message) for p in pipelines]
    output.table(("name", "state", "chain", "error"), rows)
    return 0


def get_pipeline(options: OneOptions, output: Output) -> int:
    show_pipeline(call_manager(options, lambda manager: manager.get_pipeline(options.name)), output)
    return 0


def apply_pipeline(options: ApplyOptions, output: Output) -> int:
    wanted = wanted_pipeline(options, sys.stdin.read)
    progress = ApplyProgress(wanted.name, output)
    try:
        applied = call_manager(options, partial(_apply, wanted, options.timeout_s, progress))
    except KeyboardInterrupt:
        progress.tell_leaving()
        raise
    show_pipeline(applied, output)
    return 0


async def _apply(
    wanted: pb.Pipeline, timeout_s: float, progress: ApplyProgress, manager: client.ManagerClient
) -> pb.Pipeline:
    return await apply_progress.apply_pipeline(manager, wanted, timeout_s, progress)


def plan_pipeline(options: WantedOptions, output: Output) -> int:
    wanted = wanted_pipeline(options, sys.stdin.read)
    changes = call_manager(options, lambda manager: manager.plan_pipeline(wanted))
    show_changes(changes, output)
    return 0


def delete_pipeline(options: OneOptions, output: Output) -> int:
    call_manager(options, lambda manager: manager.delete_pipeline(options.name))
    if output.json:
        output.value({"deleted": options.name})
    else:
        output.note(f"deleted {options.name}")
    return 0


def wanted_pipeline(options: WantedOptions, read_stdin: Callable[[], str]) -> pb.Pipeline:
    """The pipeline that a file or the words of the command describe.

    Raises:
        InvalidArgument: the file does not hold one.
    """
    if options.file is None:
        return pb.Pipeline(name=options.name or "", transport_type="http", chain=options.chain)
    text = read_stdin() if options.file == "-" else Path(options.file).read_text()
    try:
        return pipeline_json.parse_pipeline(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{options.file}: {error.message}") from None


_NAME = Option("NAME", "the pipeline's name")
_WANTED = (
    Option("NAME", "the pipeline's name", nargs="?"),
    Option("STAGE", "SERVICE/MODEL[:VERSION]", field="chain", nargs="*"),
    Option(
        "--file",
        "a pipeline as JSON; - for standard input",
        metavar="FILE",
        variable="",
        short="-f",
    ),
    *MANAGER_CALL,
)
_TIMEOUT = Option(
    "--timeout",
    "how long to wait until it serves, at most an hour; large models take long to load. What is "
    "not ready then stays pending, and becomes ready by itself",
    values.seconds,
    "SECONDS",
    "60",
    field="timeout_s",
    variable="",
)


def make_apply_options(chain: Sequence[str], **arguments: Any) -> ApplyOptions:
    """Raises: UsageError: neither words nor a file say what is wanted, or both do."""
    options = ApplyOptions(chain=tuple(chain), **arguments)
    _check_wanted(options)
    return options


def make_wanted_options(chain: Sequence[str], **arguments: Any) -> WantedOptions:
    """As `make_apply_options`."""
    options = WantedOptions(chain=tuple(chain), **arguments)
    _check_wanted(options)
    return options


def _check_wanted(options: WantedOptions) -> None:
    if (options.file is None) != bool(options.name and options.chain):
        raise UsageError("want NAME STAGE [STAGE...], or -f FILE")


_ABOUT_APPLY = """\
Until it serves, standard error shows what it waits for. If you leave, by Ctrl-C or because the time
is up, it stays pending: it becomes ready by itself, and what it replaces serves until then.

With --json each line of the output is an event, except the last: the pipeline, as the API has it.
  {"event": "pending", "name": ..., "elapsed_s": 1.5, "etag": ..., "reason": ..., "awaits": "load",
   "stage": ..., "model": ..., "loaded": "1", "processes": "2"}
"event" may also be "failed"; "awaits" is "read", "load", "managers" or "envoys"."""

COMMANDS = (
    Command(
        "pipelines list",
        "list all pipelines",
        ("hydro pipelines list", "hydro pipelines list --json --manager 127.0.0.1:9080"),
        MANAGER_CALL,
        ManagerOptions,
        list_pipelines,
    ),
    Command(
        "pipelines get",
        "show a pipeline, its stages and their columns",
        ("hydro pipelines get endpointML", "hydro pipelines get endpointML --json"),
        (_NAME, *MANAGER_CALL),
        OneOptions,
        get_pipeline,
    ),
    Command(
        "pipelines apply",
        "create or replace a pipeline, and wait until it serves",
        (
            "hydro pipelines apply endpointML serving-customscikit/pm_scikit "
            "serving-localml-spark/pm_spark",
            "hydro pipelines apply -f endpointML.json --timeout 600",
            "hydro pipelines apply -f endpointML.json --json | jq -c .",
        ),
        (*_WANTED, _TIMEOUT),
        make_apply_options,
        apply_pipeline,
        _ABOUT_APPLY,
    ),
    Command(
        "pipelines plan",
        "show what apply would change in Envoy, and change nothing",
        (
            "hydro pipelines plan iris serving-scikit/iris",
            "hydro pipelines plan -f endpointML.json --json",
        ),
        _WANTED,
        make_wanted_options,
        plan_pipeline,
    ),
    Command(
        "pipelines delete",
        "delete a pipeline; open streams finish",
        ("hydro pipelines delete endpointML", "hydro pipelines delete endpointML --json"),
        (_NAME, *MANAGER_CALL),
        OneOptions,
        delete_pipeline,
    ),
)
