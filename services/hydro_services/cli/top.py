"""`hydro top`: what the mesh is doing, live."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from hydro_services import reachability
from hydro_services.cli import screen
from hydro_services.cli.command import Command, Option
from hydro_services.cli.manager_call import ManagerOptions
from hydro_services.cli.options import MANAGER_CALL
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES
from hydro_services.top.watch import Moment, Watch, open_watch

QUIT = ("q", "Q", "\x03", "\x04", "")


@dataclass(frozen=True, slots=True)
class Options(ManagerOptions):
    """Where to look, how often and until when."""

    interval: float
    once: bool


def parse_interval(text: str) -> float:
    """From 0.2 s to an hour."""
    with contextlib.suppress(ValueError):
        if 0.2 <= float(text) <= 3600:
            return float(text)
    raise ValueError(f"got {text!r}, want a number of seconds from 0.2 to 3600")


def run(options: Options, output: Output) -> int:
    """Shows until somebody has seen enough."""
    return asyncio.run(_run(options, output))


async def _run(options: Options, output: Output) -> int:
    channel, watch = open_watch(options.manager, options.admin_key, options.tls_ca)
    async with channel:
        if options.once:
            return await _once(options, output, watch)
        if output.is_terminal and not options.json:
            return await _live(options, output, watch)
        async for moment in _moments(options, watch):
            _write(moment, output)
    return 0


async def _once(options: Options, output: Output, watch: Watch) -> int:
    first = await watch.look()
    if first.view is None:
        raise await reachability.explain_unreachable("manager", options.manager, options.tls_ca)
    await asyncio.sleep(options.interval)
    _write(await watch.look(), output)
    return 0


async def _moments(options: Options, watch: Watch) -> AsyncIterator[Moment]:
    while True:
        yield await watch.look()
        await asyncio.sleep(options.interval)


def _write(moment: Moment, output: Output) -> None:
    if output.json:
        view = dataclasses.asdict(moment.view) if moment.view else {}
        return output.value({**view, "manager_away": moment.away})
    if moment.away:
        output.note(f"the manager does not answer: {moment.away}")
    if moment.view:
        shown = screen.lines(moment.view)
        output.data("".join(f"{screen.plain(line)}\n" for line in shown))


async def _live(options: Options, output: Output, watch: Watch) -> int:
    enough = asyncio.Event()

    def on_key(key: str) -> None:
        if key in QUIT:
            enough.set()

    with screen.full_screen(output.out, on_key) as terminal:
        drawing = asyncio.create_task(_draw(options, watch, terminal))
        waiting = asyncio.create_task(enough.wait())
        await asyncio.wait((drawing, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        drawing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await drawing
    return 0


async def _draw(options: Options, watch: Watch, terminal: screen.Screen) -> None:
    async for moment in _moments(options, watch):
        terminal.show(_screen(options, moment, terminal.size.lines))


def _screen(options: Options, moment: Moment, height: int) -> list[str]:
    clock = time.strftime("%H:%M:%S")
    head = [f"hydro top  {options.manager}  {clock}  every {options.interval:g} s  q quits"]
    if moment.away:
        since = "what it answered last is shown" if moment.view else "retrying"
        away = f"the manager does not answer ({moment.away}); {since}"
        head.append(f"{screen.RED}{away}{screen.PLAIN}")
    head.append("")
    return head + (screen.lines(moment.view, height=height - len(head)) if moment.view else [])


COMMANDS = (
    Command(
        "top",
        SUMMARIES["top"],
        ("hydro top", "hydro top --interval 5", "hydro top --once --json"),
        (
            *MANAGER_CALL,
            Option(
                "--interval",
                "between two looks",
                parse_interval,
                "SECONDS",
                "2",
                variable="",
            ),
            Option("--once", "look for one interval, then end", default=False, is_flag=True),
        ),
        Options,
        run,
        "Requests, errors and times of pipelines and stages, and how each process is, as they\n"
        "tell at /metrics. Parts that are away are shown as such until they are back.",
    ),
)
