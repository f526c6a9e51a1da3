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
class TopOptions(ManagerOptions):
    """Where to look, how often and until when."""

    interval: float
    once: bool


def parse_interval(text: str) -> float:
    """From 0.2 s to an hour."""
    with contextlib.suppress(ValueError):
        if 0.2 <= float(text) <= 3600:
            return float(text)
    raise ValueError(f"got {text!r}, want a number of seconds from 0.2 to 3600")


def run_top(options: TopOptions, output: Output) -> int:
    """Shows the mesh until the user leaves; with `--once`, one time."""
    return asyncio.run(_run_async(options, output))


async def _run_async(options: TopOptions, output: Output) -> int:
    channel, watch = open_watch(options.manager, options.admin_key, options.tls_ca)
    async with channel:
        if options.once:
            return await _look_once(options, output, watch)
        if output.is_terminal and not options.json:
            return await _show_live(options, output, watch)
        async for moment in _look_regularly(options, watch):
            _write_moment(moment, output)
    return 0


async def _look_once(options: TopOptions, output: Output, watch: Watch) -> int:
    first = await watch.look()
    if first.view is None:
        raise await reachability.explain_unreachable("manager", options.manager, options.tls_ca)
    await asyncio.sleep(options.interval)
    _write_moment(await watch.look(), output)
    return 0


async def _look_regularly(options: TopOptions, watch: Watch) -> AsyncIterator[Moment]:
    while True:
        yield await watch.look()
        await asyncio.sleep(options.interval)


def _write_moment(moment: Moment, output: Output) -> None:
    if output.json:
        view = dataclasses.asdict(moment.view) if moment.view else {}
        return output.value({**view, "manager_away": moment.away})
    if moment.away:
        output.note(f"the manager does not answer: {moment.away}")
    if moment.view:
        shown = screen.view_lines(moment.view)
        output.data("".join(f"{screen.strip_styles(line)}\n" for line in shown))


async def _show_live(options: TopOptions, output: Output, watch: Watch) -> int:
    enough = asyncio.Event()

    def on_key(key: str) -> None:
        if key in QUIT:
            enough.set()

    with screen.full_screen(output.out, on_key) as terminal:
        drawing = asyncio.create_task(_draw_screen(options, watch, terminal))
        waiting = asyncio.create_task(enough.wait())
        await asyncio.wait((drawing, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        drawing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await drawing
    return 0


async def _draw_screen(options: TopOptions, watch: Watch, terminal: screen.Screen) -> None:
    async for moment in _look_regularly(options, watch):
        terminal.show(_screen_lines(options, moment, terminal.size.lines))


def _screen_lines(options: TopOptions, moment: Moment, height: int) -> list[str]:
    clock = time.strftime("%H:%M:%S")
    head = [f"hydro top  {options.manager}  {clock}  every {options.interval:g} s  q quits"]
    if moment.away:
        since = "what it answered last is shown" if moment.view else "retrying"
        away = f"the manager does not answer ({moment.away}); {since}"
        head.append(f"{screen.RED}{away}{screen.PLAIN}")
    head.append("")
    return head + (screen.view_lines(moment.view, height=height - len(head)) if moment.view else [])


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
        TopOptions,
        run_top,
        "Requests, errors and times of pipelines and stages, and how each process is, as they\n"
        "tell at /metrics. Parts that are away are shown as such until they are back.",
    ),
)
