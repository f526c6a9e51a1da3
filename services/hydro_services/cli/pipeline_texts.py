"""Pipelines, and changes of Envoy's resources, as text and as JSON."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_services.cli import render
from hydro_services.cli.output import Output


def show_pipeline(pipeline: pb.Pipeline, output: Output) -> None:
    """A pipeline with its stages, and what each reads and adds."""
    if output.json:
        return output.value(render.message_json(pipeline))
    output.data(f"{pipeline.name}  {pipeline_state(pipeline)}\n")
    if pipeline.HasField("error"):
        output.data(f"  error: {pipeline.error.message}\n")
    if pipeline.lagging:
        output.data(f"  lagging: {', '.join(pipeline.lagging)} do not have it yet\n")
    if pipeline.HasField("pending"):
        output.data(
            f"  next: {pipeline_state(pipeline.pending)}  {' -> '.join(pipeline.pending.chain)}\n"
        )
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
            output.data(f"    {word}  {', '.join(map(render.field_text, fields)) or 'nothing'}\n")


def show_changes(changes: Sequence[manager_pb.ResourceChange], output: Output) -> None:
    """What would change in Envoy: all in short, then each with its content or what differs."""
    if output.json:
        return output.value([render.message_json(change) for change in changes])
    if not changes:
        output.note("nothing would change")
    titles = [_change_title(change) for change in changes]
    output.data("".join(f"{title}\n" for title in titles))
    for title, change in zip(titles, changes, strict=True):
        lines = "".join(f"    {line}\n" for line in changed_lines(change))
        output.data(f"\n{title}\n{lines}")


def _change_title(change: manager_pb.ResourceChange) -> str:
    mark = {"add": "+", "change": "~", "remove": "-"}.get(change.action, "?")
    return f"{mark} {change.type_url.rpartition('.')[2]} {change.name}"


def changed_lines(change: manager_pb.ResourceChange) -> list[str]:
    """The lines that differ with some around them; all lines of what comes or goes."""
    before, after = change.before.splitlines(), change.after.splitlines()
    if not before or not after:
        return after or before
    return [*difflib.unified_diff(before, after, n=3, lineterm="")][2:]


def pipeline_state(pipeline: pb.Pipeline) -> str:
    return render.state_text(pb.PipelineState.Name(pipeline.state))
