"""`hydro pipelines`: what the manager keeps."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_services import client, pipelinejson
from hydro_services.cli import applying, render
from hydro_services.cli.applying import Progress
from hydro_services.cli.command import MANAGER, Command, UsageError, address, key_file, seconds
from hydro_services.cli.output import Output
from hydro_services.cli.trust import tls_ca
from hydro_services.errors import InvalidArgument
from hydro_services.reachability import Tls

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """Of `list`."""

    manager: str
    json: bool
    admin_key: str = field(default="", repr=False, kw_only=True)
    tls_ca: Tls | None = field(default=None, kw_only=True)
    """None: in clear text."""


@dataclass(frozen=True, slots=True)
class OneOptions(Options):
    """Of `get` and `delete`."""

    name: str


@dataclass(frozen=True, slots=True)
class WantedOptions(Options):
    """Of `apply` and `plan`: a name and stages, or a file."""

    name: str | None
    chain: tuple[str, ...]
    file: str | None


@dataclass(frozen=True, slots=True)
class ApplyOptions(WantedOptions):
    """Of `apply`."""

    timeout_s: float


def call(options: Options, action: Callable[[client.Manager], Awaitable[T]]) -> T:
    """Asks the manager."""

    async def ask() -> T:
        async with client.connect("manager", options.manager, options.tls_ca) as channel:
            return await action(client.Manager(channel, options.admin_key))

    return asyncio.run(ask())


def list_pipelines(options: Options, output: Output) -> int:
    pipelines = call(options, lambda manager: manager.list_pipelines())
    if output.json:
        output.value([render.as_json(pipeline) for pipeline in pipelines])
        return 0
    if not pipelines:
        output.note("no pipelines yet; create one with `hydro pipelines apply NAME STAGE...`")
    rows = [(p.name, _state(p), " -> ".join(p.chain), p.error.message) for p in pipelines]
    output.table(("name", "state", "chain", "error"), rows)
    return 0


def get(options: OneOptions, output: Output) -> int:
    show(call(options, lambda manager: manager.get_pipeline(options.name)), output)
    return 0


def apply(options: ApplyOptions, output: Output) -> int:
    wanted = pipeline(options, sys.stdin.read)
    progress = Progress(wanted.name, output)
    try:
        applied = call(options, partial(_apply, wanted, options.timeout_s, progress))
    except KeyboardInterrupt:
        progress.interrupted()
        raise
    show(applied, output)
    return 0


async def _apply(
    wanted: pb.Pipeline, timeout_s: float, progress: Progress, manager: client.Manager
) -> pb.Pipeline:
    return await applying.apply(manager, wanted, timeout_s, progress)


def plan(options: WantedOptions, output: Output) -> int:
    wanted = pipeline(options, sys.stdin.read)
    changes = call(options, lambda manager: manager.plan_pipeline(wanted))
    show_changes(changes, output)
    return 0


def delete(options: OneOptions, output: Output) -> int:
    call(options, lambda manager: manager.delete_pipeline(options.name))
    if output.json:
        output.value({"deleted": options.name})
    else:
        output.note(f"deleted {options.name}")
    return 0


def pipeline(options: WantedOptions, read_stdin: Callable[[], str]) -> pb.Pipeline:
    """The pipeline that is wanted.

    Raises:
        InvalidArgument: the file does not hold one.
    """
    if options.file is None:
        return pb.Pipeline(name=options.name or "", transport_type="http", chain=options.chain)
    text = read_stdin() if options.file == "-" else Path(options.file).read_text()
    try:
        return pipelinejson.parse(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{options.file}: {error.message}") from None


def show(pipeline: pb.Pipeline, output: Output) -> None:
    """A pipeline with its stages, and what each reads and adds."""
    if output.json:
        return output.value(render.as_json(pipeline))
    output.data(f"{pipeline.name}  {_state(pipeline)}\n")
    if pipeline.HasField("error"):
        output.data(f"  error: {pipeline.error.message}\n")
    if pipeline.lagging:
        output.data(f"  lagging: {', '.join(pipeline.lagging)} do not have it yet\n")
    if pipeline.HasField("pending"):
        output.data(f"  next: {_state(pipeline.pending)}  {' -> '.join(pipeline.pending.chain)}\n")
    _show_stages(pipeline.chain, pipeline.stages, output)
    for variant in pipeline.traffic.variants:
        headers = "".join(f", {name}: {value}" for name, value in sorted(variant.headers.items()))
        output.data(f"variant {variant.name}  {variant.weight} %{headers}\n")
        _show_stages(variant.chain, variant.stages, output)
    if pipeline.traffic.HasField("shadow"):
        shadow = pipeline.traffic.shadow
        output.data(f"shadow  {shadow.percent if shadow.HasField('percent') else 100} %\n")
        _show_stages(shadow.chain, shadow.stages, output)
    if pipeline.HasField("policy"):
        output.data(f"policy  {json.dumps(MessageToDict(pipeline.policy), sort_keys=True)}\n")


def _show_stages(chain: Sequence[str], stages: Sequence[pb.PipelineStage], output: Output) -> None:
    for name, stage in zip(chain, stages, strict=False):
        output.data(f"  {name}  version {stage.version}  {stage.digest[:12]}\n")
        for word, fields in (("reads", stage.signature.inputs), ("adds", stage.signature.outputs)):
            output.data(f"    {word}  {', '.join(map(render.field, fields)) or 'nothing'}\n")


def show_changes(changes: Sequence[manager_pb.ResourceChange], output: Output) -> None:
    """What would change in Envoy: all in short, then each with its content or what differs."""
    if output.json:
        return output.value([render.as_json(change) for change in changes])
    if not changes:
        output.note("nothing would change")
    titles = [_title(change) for change in changes]
    output.data("".join(f"{title}\n" for title in titles))
    for title, change in zip(titles, changes, strict=True):
        lines = "".join(f"    {line}\n" for line in changed_lines(change))
        output.data(f"\n{title}\n{lines}")


def _title(change: manager_pb.ResourceChange) -> str:
    mark = {"add": "+", "change": "~", "remove": "-"}.get(change.action, "?")
    return f"{mark} {change.type_url.rpartition('.')[2]} {change.name}"


def changed_lines(change: manager_pb.ResourceChange) -> list[str]:
    """The lines that differ with some around them; all lines of what comes or goes."""
    before, after = change.before.splitlines(), change.after.splitlines()
    if not before or not after:
        return after or before
    return [*difflib.unified_diff(before, after, n=3, lineterm="")][2:]


def _state(pipeline: pb.Pipeline) -> str:
    return render.state(pb.PipelineState.Name(pipeline.state))


def manager_argument(parser: argparse.ArgumentParser) -> None:
    address(parser, "manager", MANAGER, "the manager")
    key_file(parser, "admin-key", "the mesh's admin key, where it has one")
    tls_ca(parser)


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the pipeline's name")
    manager_argument(parser)


def _wanted(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="the pipeline's name")
    parser.add_argument("chain", nargs="*", metavar="STAGE", help="SERVICE/MODEL[:VERSION]")
    parser.add_argument("-f", "--file", help="a pipeline as JSON; - for stdin")
    manager_argument(parser)


def _applied(parser: argparse.ArgumentParser) -> None:
    _wanted(parser)
    parser.add_argument(
        "--timeout",
        dest="timeout_s",
        metavar="SECONDS",
        type=seconds,
        default="60",
        help="how long to wait until it serves, at most an hour; large models take long to load.\n"
        "What is not ready then stays pending, and becomes ready by itself (default: %(default)s)",
    )


def apply_options(**arguments: Any) -> ApplyOptions:
    """As `wanted_options`."""
    options = ApplyOptions(**{**arguments, "chain": tuple(arguments["chain"])})
    _check_wanted(options)
    return options


def wanted_options(**arguments: Any) -> WantedOptions:
    """Either words or a file."""
    options = WantedOptions(**{**arguments, "chain": tuple(arguments["chain"])})
    _check_wanted(options)
    return options


def _check_wanted(options: WantedOptions) -> None:
    if (options.file is None) != bool(options.name and options.chain):
        raise UsageError("want NAME STAGE [STAGE...], or -f FILE")


_ABOUT_APPLY = """\
Until it serves, standard error tells what it waits for. Whoever leaves, by Ctrl-C or when the
time is up, leaves it pending: it becomes ready by itself, and what it replaces serves until then.

With --json each line of the output is an event, but the last: the pipeline, as the API has it.
  {"event": "pending", "name": ..., "elapsed_s": 1.5, "etag": ..., "reason": ..., "awaits": "load",
   "stage": ..., "model": ..., "loaded": "1", "processes": "2"}
"event" may be "failed", too; "awaits" is "read", "load", "managers" or "envoys"."""

COMMANDS = (
    Command(
        "pipelines list",
        "list all pipelines",
        ("hydro pipelines list", "hydro pipelines list --json --manager 127.0.0.1:9080"),
        manager_argument,
        Options,
        list_pipelines,
    ),
    Command(
        "pipelines get",
        "show a pipeline, its stages and their columns",
        ("hydro pipelines get endpointML", "hydro pipelines get endpointML --json"),
        _one,
        OneOptions,
        get,
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
        _applied,
        apply_options,
        apply,
        _ABOUT_APPLY,
    ),
    Command(
        "pipelines plan",
        "tell what apply would change in Envoy, and change nothing",
        (
            "hydro pipelines plan iris serving-scikit/iris",
            "hydro pipelines plan -f endpointML.json --json",
        ),
        _wanted,
        wanted_options,
        plan,
    ),
    Command(
        "pipelines delete",
        "delete a pipeline; streams under way finish",
        ("hydro pipelines delete endpointML", "hydro pipelines delete endpointML --json"),
        _one,
        OneOptions,
        delete,
    ),
)
