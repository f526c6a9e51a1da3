"""One part of the mesh alone, in this process: what the commands for parts share."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from hydro_services import guard, logs
from hydro_services.cli.command import Command
from hydro_services.cli.output import Output
from hydro_services.security import private_files
from hydro_services.up.signals import on_stop


@dataclass(frozen=True, slots=True)
class Options:
    """Which part, and the fields of its `Config`."""

    part: str
    module: str
    config: Mapping[str, Any]
    log_level: str
    json: bool


def command(
    part: str,
    module: str,
    summary: str,
    examples: tuple[str, ...],
    add_arguments: Callable[[argparse.ArgumentParser], None],
) -> Command:
    """The command `hydro PART`: each argument is a field of the module's `Config`."""

    def add_all(parser: argparse.ArgumentParser) -> None:
        add_arguments(parser)
        log_level(parser, "INFO")

    def options(log_level: str, json: bool, **config: Any) -> Options:
        return Options(part, module, config, log_level, json)

    return Command(part, summary, examples, add_all, options, run, "Ctrl-C drains, then stops.")


def log_level(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--log-level",
        default=os.environ.get("HYDRO_LOG_LEVEL", default),
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="(default: %(default)s; environment: HYDRO_LOG_LEVEL)",
    )


def run(options: Options, output: Output) -> int:
    """Serves until Ctrl-C or SIGTERM."""
    logs.set_up(options.log_level, options.part)
    module = importlib.import_module(options.module)
    config = module.Config(**options.config)
    if output.json:
        output.value({"part": options.part, "pid": os.getpid()})
    quiet = contextlib.suppress(asyncio.CancelledError)
    with _guarded(module, config), private_files.private_umask(), quiet:
        asyncio.run(_until_signal(module, config))
    return 0


def _guarded(module: Any, config: object) -> AbstractContextManager[None]:
    """Around a part that runs code of others."""
    ended = getattr(module, "ended", None)
    return guard.guarded(partial(ended, config), tied=False) if ended else contextlib.nullcontext()


async def _until_signal(module: Any, config: object) -> None:
    task = asyncio.current_task()
    assert task is not None
    with on_stop(task.cancel):
        await module.run(config)
