"""Applies a pipeline, and shows what it waits for until it serves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_services import client, errors
from hydro_services.cli import render
from hydro_services.cli.output import Output

FIRST_S = 0.5
"""A pipeline that is ready sooner is not shown as pending."""
AGAIN_S = 0.5
"""Between attempts to reach a manager that has gone while the pipeline was pending."""
TICK_S = 1.0
"""How often a terminal shows the time."""
CLEAR_LINE = "\r\x1b[2K"
"""ECMA-48: to the first column, and erase the line."""


@dataclass
class ApplyProgress:
    """Shows a pipeline that is not ready: as one line that changes, as lines, or as JSON lines."""

    name: str
    output: Output
    clock: Callable[[], float] = time.monotonic
    etag: str = ""
    """Of what is pending, once that is known."""
    _shown: str = ""
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.clock()

    @property
    def is_line(self) -> bool:
        """Whether it is one line on a terminal."""
        return self.output.err.isatty() and not self.output.json

    def show_state(self, pending: pb.Pipeline) -> None:
        """Shows the state of what is pending, if it has changed."""
        self.etag = pending.etag
        state, reason = (
            render.state_text(pb.PipelineState.Name(pending.state)),
            pending.error.message,
        )
        text = f"{self.name}  {state}  {reason}"
        if text == self._shown:
            return
        self._shown = text
        if self.output.json:
            self.output.line(self._event(pending, state))
        elif self.is_line:
            self.show_time()
        else:
            self.output.note(text)

    def _event(self, pending: pb.Pipeline, state: str) -> dict[str, object]:
        error = errors.from_status(pending.error)
        return {
            "event": state,
            "name": self.name,
            "elapsed_s": round(self.clock() - self._start, 1),
            "etag": pending.etag,
            "reason": error.message,
            **error.metadata,
        }

    def show_time(self) -> None:
        """Shows the line with the time that has passed."""
        if not self._shown or not self.is_line:
            return
        waited = f"{self.clock() - self._start:.0f} s"
        line = self._shown.replace("  ", f"  {waited}  ", 1)
        with contextlib.suppress(OSError):  # a terminal that does not tell its width
            line = line[: os.get_terminal_size(self.output.err.fileno()).columns - 1]
        self._write(f"{CLEAR_LINE}{line}")

    def end(self) -> None:
        """Removes the line."""
        if self._shown and self.is_line:
            self._write(CLEAR_LINE)

    def _write(self, text: str) -> None:
        self.output.err.write(text)
        self.output.err.flush()

    def tell_leaving(self) -> None:
        """Says what becomes of the pipeline when the caller stops waiting."""
        name = shlex.quote(self.name)
        becomes = "stays pending and becomes ready by itself" if self.etag else "may be pending"
        way_out = f"`hydro pipelines get {name}`; give it up with `hydro pipelines delete {name}`"
        self.output.note(f"pipeline {self.name!r} {becomes}; look with {way_out}")


async def apply_pipeline(
    manager: client.ManagerClient, wanted: pb.Pipeline, timeout_s: float, progress: ApplyProgress
) -> pb.Pipeline:
    """The pipeline, once it serves.

    If the manager goes away meanwhile, this waits for it: it continues what it has stored.

    Raises:
        errors.HydroError: as `client.ManagerClient.apply_pipeline`.
    """
    end = progress.clock() + timeout_s
    watching = asyncio.create_task(_watch_pipeline(manager, progress))
    try:
        while True:
            left_s = end - progress.clock()
            try:
                return await manager.apply_pipeline(wanted, left_s)
            except errors.Unavailable:
                if not progress.etag or progress.clock() + AGAIN_S >= end:
                    raise
            wanted.etag = progress.etag  # so that nobody else's change is replaced
            await asyncio.sleep(AGAIN_S)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        progress.end()


async def _watch_pipeline(manager: client.ManagerClient, progress: ApplyProgress) -> None:
    await asyncio.sleep(FIRST_S)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_show_time_regularly(progress))
        while True:
            with contextlib.suppress(errors.HydroError):  # apply_pipeline reports it
                async for pipeline in manager.watch_pipeline(progress.name):
                    pending = pipeline.pending if pipeline.HasField("pending") else pipeline
                    if pending.state != pb.PIPELINE_STATE_READY:
                        progress.show_state(pending)
            await asyncio.sleep(AGAIN_S)


async def _show_time_regularly(progress: ApplyProgress) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        progress.show_time()
