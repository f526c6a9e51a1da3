"""One part of the mesh alone, in this process: what the commands for parts share."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from hydro_services import guard, logs
from hydro_services.cli.command import Command, Option
from hydro_services.cli.options import log_level
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES
from hydro_services.security import private_files
from hydro_services.up.signals import on_stop


@dataclass(frozen=True, slots=True)
class PartOptions:
    """Which part, and the fields of its `Config`."""

    part: str
    module: str
    config: Mapping[str, Any]
    log_level: str
    json: bool


def part_command(
    part: str, module: str, examples: tuple[str, ...], options: tuple[Option, ...]
) -> Command:
    """The command `hydro PART`: each option is a field of the module's `Config`."""

    def make(log_level: str, json: bool, **config: Any) -> PartOptions:
        return PartOptions(part, module, config, log_level, json)

    about = "Ctrl-C lets open requests finish, then stops it."
    return Command(
        part, SUMMARIES[part], examples, (*options, log_level("INFO")), make, run_part, about
    )


def run_part(options: PartOptions, output: Output) -> int:
    """Serves until Ctrl-C or SIGTERM."""
    logs.set_up_logging(options.log_level, options.part)
    module = importlib.import_module(options.module)
    config = module.Config(**options.config)
    if output.json:
        output.value({"part": options.part, "pid": os.getpid()})
    quiet = contextlib.suppress(asyncio.CancelledError)
    # The guard forks: before there is an event loop, a thread of gRPC's or an open file.
    with _guard_of(module, config), private_files.private_umask(), quiet:
        asyncio.run(_run_until_signal(module, config))
    return 0


def _guard_of(module: Any, config: object) -> AbstractContextManager[None]:
    """Around a part that runs code of others."""
    note_end = getattr(module, "note_end", None)
    return (
        guard.run_in_child(partial(note_end, config), dies_with_parent=False)
        if note_end
        else contextlib.nullcontext()
    )


async def _run_until_signal(module: Any, config: object) -> None:
    task = asyncio.current_task()
    assert task is not None
    with on_stop(task.cancel):
        await module.run(config)
