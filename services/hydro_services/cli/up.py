"""`hydro up`: the whole mesh on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

from hydro_envoy.address import parse_host
from hydro_envoy.proxy import connections
from hydro_services import logs
from hydro_services.cli.command import Command, Option
from hydro_services.cli.options import (
    MODELS,
    OF_MANAGER,
    OF_RUNTIME,
    PORTS,
    STORE_BYTES,
    TLS,
    folder,
    log_level,
)
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES
from hydro_services.cli.usage import UsageError
from hydro_services.default_addresses import GATEWAY, MANAGER, REPOSITORY
from hydro_services.security import private_files
from hydro_services.up import mesh
from hydro_services.up.layout import Options, known_services


def parse_runtime(text: str) -> tuple[str, int]:
    """SERVICE or SERVICE=N."""
    name, _, count = text.partition("=")
    if not name or not (count or "1").isdecimal() or not 1 <= int(count or 1) <= 64:
        raise ValueError(f"got {text!r}, want SERVICE or SERVICE=N, N from 1 to 64")
    return name, int(count or 1)


_OWN = {field.name for field in fields(Options)}


def make_options(**arguments: Any) -> Options:
    """Checks what concerns several options."""
    names = [name for name, _ in arguments["runtimes"]]
    if len(names) != len(set(names)):
        raise UsageError("a service is given twice by --runtime; want SERVICE=N for more than one")
    if arguments["zipkin"] and arguments["otlp"]:
        raise UsageError("spans go to --zipkin or by --otlp; got both, want one")
    arguments["runtimes"] = tuple(arguments["runtimes"])
    own = {name: arguments[name] for name in _OWN & arguments.keys()}
    passed_on = {name: value for name, value in arguments.items() if name not in own}
    manager, runtime = (
        {option.key: passed_on[option.key] for option in options if option.key in passed_on}
        for options in (OF_MANAGER, OF_RUNTIME)
    )
    return Options(**own, manager=manager, runtime=runtime)


def run_up(options: Options, output: Output) -> int:
    """Serves until Ctrl-C."""

    async def serve(running: Options) -> None:
        show_ready(running, output)
        await asyncio.Event().wait()

    run_mesh(options, output, serve)
    return 0


def run_mesh(options: Options, output: Output, use: Callable[[Options], Awaitable[None]]) -> None:
    """Runs the mesh while `use` does, which is given the options with the ports, or until Ctrl-C.

    Raises:
        errors.HydroError: as `mesh.serve_mesh`, and what `use` raises.
    """
    logs.set_up_logging(options.log_level, "up")
    connections.raise_file_limit()
    os.environ.pop("HYDRO_ADMIN_KEY", None)  # else the code of models could read it
    with private_files.private_umask():
        asyncio.run(_serve(options, output, use))


async def _serve(
    options: Options, output: Output, use: Callable[[Options], Awaitable[None]]
) -> None:
    async def serve() -> None:
        async with mesh.serve_mesh(options, output.note) as running:
            await use(running)

    with mesh.stop_signals() as stop:
        serving = asyncio.create_task(serve())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def show_ready(options: Options, output: Output) -> None:
    """The ready message: addresses, and what to paste next."""
    scheme = "https" if options.tls_cert else "http"
    urls = {name: f"{scheme}://{options.at(name)}" for name in options.ports if name != "xds"}
    if output.json:
        return output.value(
            {
                **urls,
                "xds": str(options.xds),
                "data": str(options.data),
                "targets": str(options.targets),
                "pid": os.getpid(),
            }
        )
    body = '{"name":"NAME","transportType":"http","chain":["SERVICE/MODEL"]}'
    exports, curl, header = "", "curl", ""
    if options.admin_key:
        exports += "export HYDRO_ADMIN_KEY=...   what the manager and the repository want\n  "
        header = '-H "authorization: Bearer $HYDRO_ADMIN_KEY" '
    if options.tls_cert:
        exports += "export HYDRO_TLS_CA=...      who signed the certificate, or system\n  "
        curl = 'curl --cacert "$HYDRO_TLS_CA"'
    output.data(
        f"""
Ready.
  gateway     {urls["gateway"]}   POST /api/v1/serve/PIPELINE
  manager     {urls["manager"]}   /api/v1/pipelines
  repository  {urls["repository"]}   /models
  metrics     {options.targets}   for Prometheus's file_sd_configs

Next:
  {exports}{_environment_prefix(options)}hydro deploy MODEL --example ROWS
  {_environment_prefix(options)}hydro models list
  {_environment_prefix(options)}hydro pipelines apply NAME SERVICE/MODEL
  {_environment_prefix(options)}hydro predict NAME rows.json
  {curl} {header}-H 'content-type: application/json' -d '{body}' {urls["manager"]}/api/v1/pipelines
  {curl} -H 'content-type: application/json' -d @rows.json {urls["gateway"]}/api/v1/serve/NAME

Ctrl-C stops.
"""
    )


def _environment_prefix(options: Options) -> str:
    """The environment in which the commands find this mesh, where its ports are not the usual."""
    addresses = {
        "HYDRO_MANAGER": (options.at("manager"), MANAGER),
        "HYDRO_GATEWAY": (options.at("gateway"), GATEWAY),
        "HYDRO_REPOSITORY": (options.at("repository"), REPOSITORY),
    }
    return "".join(f"{name}={at} " for name, (at, usual) in addresses.items() if at != usual)


COMMANDS = (
    Command(
        "up",
        SUMMARIES["up"],
        (
            "hydro up --models models --trusted models/trusted.txt",
            "hydro up --models models,s3://bucket/models",
            "hydro up --gateway-port 9083 --runtime serving-localml-spark=2",
            "hydro up --host 0.0.0.0 --admin-key-file admin.key --keys keys.json --access keys",
        ),
        (
            MODELS,
            STORE_BYTES,
            folder("data", ".hydro", "where all state is kept"),
            Option(
                "--host",
                "the address to listen at",
                parse_host,
                default="127.0.0.1",
            ),
            *PORTS,
            Option(
                "--runtime",
                "a runtime service and how many processes of it; may be given again",
                parse_runtime,
                "SERVICE[=N]",
                default=(),
                shown_default=f"one each of {', '.join(s.name for s in known_services())}",
                field="runtimes",
                is_repeatable=True,
            ),
            *OF_MANAGER,
            *(option for option in OF_RUNTIME if option not in OF_MANAGER),
            Option(
                "--sidecars",
                "an Envoy in front of every part, as on many machines, instead of one for all",
                default=False,
                is_flag=True,
            ),
            *TLS,
            log_level("WARNING"),
        ),
        make_options,
        run_up,
        "Starts Envoy, the manager, the repository and the runtimes, and starts each again when\n"
        "it dies. Ctrl-C lets open requests finish, then stops everything.",
    ),
)
