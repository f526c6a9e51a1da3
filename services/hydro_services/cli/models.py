"""`hydro models`: what the repository has, and which models may run code of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import TypeVar

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro_envoy.address import Address
from hydro_runtimes import model_formats
from hydro_services import client
from hydro_services.cli import render
from hydro_services.cli.command import Command, Option
from hydro_services.cli.options import REPOSITORY_CALL
from hydro_services.cli.output import Output
from hydro_services.reachability import Tls
from hydro_services.security.trusted_models import add_line

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RepositoryOptions:
    repository: Address
    json: bool
    admin_key: str = field(default="", repr=False, kw_only=True)
    tls_ca: Tls | None = field(default=None, kw_only=True)
    """None: in clear text."""


@dataclass(frozen=True, slots=True)
class ShowOptions(RepositoryOptions):
    model: str
    """NAME or NAME:VERSION."""


@dataclass(frozen=True, slots=True)
class TrustOptions:
    folder: Path
    file: Path
    json: bool


def call_repository(
    options: RepositoryOptions, action: Callable[[client.RepositoryClient], Awaitable[T]]
) -> T:
    """The answer of the action, which gets a connection of its own."""

    async def call() -> T:
        async with client.connect_channel(
            "repository", options.repository, options.tls_ca
        ) as channel:
            return await action(client.RepositoryClient(channel, options.admin_key))

    return asyncio.run(call())


def list_models(options: RepositoryOptions, output: Output) -> int:
    listing = call_repository(options, lambda repository: repository.list_models_and_roots())
    models = listing.models
    for root in listing.roots:
        if root.HasField("away_since"):
            output.note(_away_text(root))
    if output.json:
        output.value([render.message_json(model) for model in models])
        return 0
    rows = [
        (
            m.model,
            m.version,
            m.format,
            m.digest[:12],
            m.error.message if m.HasField("error") else "",
        )
        for m in models
    ]
    output.table(("model", "version", "format", "digest", "refused"), rows)
    return 0


def _away_text(root: pb.Root) -> str:
    since = root.away_since.ToDatetime(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    what = root.name or "the folder of models"
    return f"{what} cannot be listed since {since}, its models stay as they were: {root.error}"


def show_model(options: ShowOptions, output: Output) -> int:
    name, _, version = options.model.partition(":")
    render_model(
        call_repository(options, lambda repository: repository.get_model(name, version)), output
    )
    return 0


def render_model(model: pb.ModelVersion, output: Output) -> None:
    """A model: what it is, its columns, its files."""
    if output.json:
        return output.value(render.message_json(model))
    output.data(f"{model.model}:{model.version}  {model.format}  {model.digest}\n")
    for word, fields in (("reads", model.signature.inputs), ("adds", model.signature.outputs)):
        output.data(f"{word}\n" + "".join(f"  {render.field_text(field)}\n" for field in fields))
    if model.HasField("fitted"):
        versions = ", ".join(f"{name} {one}" for name, one in sorted(model.fitted.versions.items()))
        output.data(f"fitted with\n  {versions}\n")
        rows = model.fitted.proven_rows
        output.data(f"checked when loaded\n  the answers to {rows} rows of its example\n")
    if model.stages:
        output.data("stages\n")
    for stage in model.stages:
        output.data(f"  {'  ' * stage.depth}{stage.name}  {stage.uid}\n")
    output.data("files\n")
    for file in model.files:
        output.data(f"  {render.size_text(file.size_bytes):>9}  {file.sha256[:12]}  {file.path}\n")


def trust_model(options: TrustOptions, output: Output) -> int:
    from hydro_runtimes.files import digest_folder as digest_of

    # Wherever its links lead: what they lead to is what is trusted.
    digest = digest_of(options.folder, Path("/"))
    name = options.folder.resolve().name
    output.note(
        f"Trusting a model lets it run its own Python code in your runtimes, with their rights.\n"
        f"This holds for exactly these files (SHA-256 {digest}): change one, and it ends.\n"
        f"Only do this after reading the code in {options.folder}."
    )
    is_new = add_line(options.file, digest, name)
    if output.json:
        output.value({"model": name, "digest": digest, "file": str(options.file), "added": is_new})
    else:
        output.note(f"{'added to' if is_new else 'was already in'} {options.file}")
    return 0


def _names_of_code() -> str:
    return " and ".join(format.name for format in model_formats.FORMATS if format.runs_code)


COMMANDS = (
    Command(
        "models list",
        "list every version of every model, and why some are refused",
        ("hydro models list", "hydro models list --json"),
        REPOSITORY_CALL,
        RepositoryOptions,
        list_models,
    ),
    Command(
        "models show",
        "show a model's columns and files",
        ("hydro models show pm_spark", "hydro models show pm_spark:1 --json"),
        (
            Option("NAME[:VERSION]", "without a version: the latest", field="model"),
            *REPOSITORY_CALL,
        ),
        ShowOptions,
        show_model,
    ),
    Command(
        "models trust",
        "let a model run the Python code that it brings",
        (
            "hydro models trust models/scikit/pm_scikit --file models/trusted.txt",
            "hydro models trust ./my_model",
        ),
        (
            Option("MODEL_DIR", "the model's folder", Path, field="folder"),
            Option(
                "--file", "the list of trusted digests", Path, "FILE", "trusted.txt", variable=""
            ),
        ),
        TrustOptions,
        trust_model,
        "Appends the model's digest to a list that runtimes are given with --trusted. A model of\n"
        f"the formats {_names_of_code()} runs code when it is loaded; no other model needs trust.",
    ),
)
