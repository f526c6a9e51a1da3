"""Python parts as processes of their own: forked with their imports paid, or spawned."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import importlib.util
import logging
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerProcess, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias

from hydro_services import errors, guard, linux, logs

logger = logging.getLogger(__name__)

GRACE_S = 15.0
"""How long a part may drain before it is killed."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a process runs."""

    name: str
    """Of the part: on its log lines, and in ps."""
    module: str
    """Has `Config` and `async run(config)`, which serves until cancelled."""
    config: Mapping[str, Any]
    """The fields of its `Config`: so that `hydro up` itself need not import the module."""
    fork: bool = True
    """From the forkserver, or else spawned: for one whose imports nobody shares."""
    level: str = "WARNING"
    """Of its log."""
    is_guarded: bool = False
    """It runs code of others, see `guard`; its module also has `note_end(config, pid, status)`."""


WatchProcess: TypeAlias = Callable[[str, BaseProcess], AbstractContextManager[None]]
"""Given a part's name and its process; may kill it inside the context."""


NEWER_VERSION = 4
"""The exit code of who finds that what was stored is of a newer version."""


class ProcessEnded(Exception):
    """The process ended by itself."""


def preload_modules(modules: Sequence[str]) -> None:
    """Starts the forkserver; those modules that are there are imported in it, once for all parts.

    To be called in the main thread: the forkserver ends with it. Does not wait.
    """
    installed = [name for name in modules if importlib.util.find_spec(name.partition(".")[0])]
    multiprocessing.set_forkserver_preload(
        ["hydro_services.up.die_with_parent", __name__, *installed]
    )
    with _without_interrupt():
        forkserver.ensure_running()


@contextlib.contextmanager
def _without_interrupt() -> Iterator[None]:
    """Processes started inside never see a terminal's Ctrl-C: it is for us, who stop in order."""
    resource_tracker.ensure_running()  # on its own start it would unblock the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


async def serve_program(program: Program, watched: WatchProcess) -> None:
    """Runs the program in a process until it ends; when cancelled, drains it first.

    It is watched from its start until it ends or is to be drained.

    Raises:
        ProcessEnded: always, when not cancelled.
        NewerVersion: instead, where the process has found so.
    """
    kind = ForkServerProcess if program.fork else SpawnProcess
    process: BaseProcess = kind(target=run_program, args=(program,), name=program.name)
    # Shielded: a process that is cancelled while it starts has to be known, to be stopped.
    starting = asyncio.ensure_future(_start_process(process, program.fork))
    try:
        await asyncio.shield(starting)
        logger.info("part started", extra={"child": program.name, "pid": process.pid})
        with watched(program.name, process):
            await _wait_end(process)
    finally:
        await starting
        await _stop_process(process)
        # After the process has ended, whatever it has left is no part of anything that is stopped
        # in order.
        guard.end_descendants()  # of a guard that was killed itself
    if process.exitcode == NEWER_VERSION:
        what = f"{program.name} cannot use what a newer hydro-serving has stored"
        raise errors.NewerVersion(f"{what}; the log has what it is, and the way out")
    raise ProcessEnded(f"exit code {process.exitcode}")


async def _start_process(process: BaseProcess, fork: bool) -> None:
    """Starts the process without blocking the loop while the forkserver still imports.

    What this process starts itself is started in the main thread, to which it is tied.
    """
    # The signal mask is of a thread and is inherited: so this part runs in the main thread.
    with _without_interrupt():
        forkserver.ensure_running() if fork else process.start()
    # The forkserver may still be importing: its socket would block the loop until it is done.
    if fork:
        await asyncio.to_thread(process.start)


async def _wait_end(process: BaseProcess) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    # The sentinel becomes readable at the end; `join` afterwards only collects the exit code.
    loop.add_reader(process.sentinel, _settle, ended)
    try:
        await ended
    finally:
        loop.remove_reader(process.sentinel)
    process.join()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _stop_process(process: BaseProcess) -> None:
    if not process.is_alive():
        return
    # SIGTERM drains: a part ends when its open requests are answered, or the grace is over.
    process.terminate()
    try:
        async with asyncio.timeout(GRACE_S):
            await _wait_end(process)
    except TimeoutError:
        logger.warning("part did not stop in time, killed", extra={"child": process.name})
        process.kill()
        await _wait_end(process)


def run_program(program: Program) -> None:
    """The process: serves until SIGTERM."""
    # A Ctrl-C at the terminal goes to the whole group: parts are to be stopped in order instead.
    linux.leave_group()
    logs.set_up_logging(program.level, program.name)
    with _guard_program(program):
        linux.set_name(program.name)
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(until_terminated(program))


def _guard_program(program: Program) -> AbstractContextManager[None]:
    if not program.is_guarded:
        linux.die_with_parent()
        return contextlib.nullcontext()
    module = importlib.import_module(program.module)
    note_end = functools.partial(module.note_end, module.Config(**program.config))
    return guard.run_in_child(note_end, dies_with_parent=True)


async def until_terminated(program: Program) -> None:
    """Serves in this process; SIGTERM cancels, once. Any failure is logged and ends it with 1."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None

    def drain() -> None:
        # To be cancelled again would cut short the draining itself.
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        task.cancel()

    # Before the module is imported, which takes a second: a signal in that time is not to kill.
    loop.add_signal_handler(signal.SIGTERM, drain)
    try:
        module = importlib.import_module(program.module)
        await module.run(module.Config(**program.config))
    except errors.HydroError as error:
        logger.error("part failed", extra={"error": error.message})
        sys.exit(NEWER_VERSION if isinstance(error, errors.NewerVersion) else 1)
    except Exception:
        logger.exception("part failed")
        sys.exit(1)
