"""A view as lines of text, and a terminal that shows them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from hydro_services.cli.output import column_widths
from hydro_services.top.view import PipelineRow, ProcessRow, View

BOLD, DIM, RED, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"
_PIPELINES = ("PIPELINE / STAGE", "STATE", "REQ/S", "ERR/S", "ROWS/S", "P50 MS", "P99 MS", "OPEN")
_PROCESSES = ("PART", "INSTANCE", "STATE", "CPU %", "MB", "QUEUE", "BATCH", "LACKS", "NACKS")
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
"""ECMA-48 and xterm: the other screen without a cursor, and back."""


def view_lines(view: View, *, height: int | None = None) -> list[str]:
    """All of it, styled; of too many pipelines the busiest, so that no more lines than `height`."""
    processes = _table_lines(_PROCESSES, [_process_row(row) for row in view.processes], left=3)
    rest = ["", *processes, *(f"{RED}{text}{PLAIN}" for text in view.refusals)]
    shown = list(view.pipelines)
    room = None if height is None else max(3, height - len(rest) - 2)
    while room is not None and sum(1 + len(row.stages) for row in shown) > room and len(shown) > 1:
        shown.pop()
    left_out = len(view.pipelines) - len(shown)
    rows = [row for pipeline in shown for row in _pipeline_rows(pipeline)]
    more = [f"{DIM}… and {left_out} more{PLAIN}"] if left_out else []
    none = [] if view.pipelines else [f"{DIM}no pipelines; see hydro pipelines apply{PLAIN}"]
    return [*_table_lines(_PIPELINES, rows, left=2), *more, *none, *rest]


def _pipeline_rows(row: PipelineRow) -> Iterator[tuple[str, ...]]:
    bad = RED if row.errors_s or row.state != "ready" else ""
    rates = (_number_text(row.requests_s), _number_text(row.errors_s), "")
    yield (
        bad,
        row.pipeline,
        row.state,
        *rates,
        _number_text(row.p50_ms),
        _number_text(row.p99_ms),
        "",
    )
    for i, stage in enumerate(row.stages):
        branch = "└" if i == len(row.stages) - 1 else "├"
        bad = RED if stage.failed_rows_s else DIM
        rates = ("", _number_text(stage.failed_rows_s), _number_text(stage.rows_s))
        times = (_number_text(stage.p50_ms), _number_text(stage.p99_ms), str(stage.active))
        yield (bad, f"{branch} {stage.stage}", "", *rates, *times)


def _process_row(row: ProcessRow) -> tuple[str, ...]:
    bad = RED if row.state != "ready" or row.lacking else ""
    numbers = (row.cpu_percent, row.memory_mb, row.queue_rows, row.batch_rows)
    known = (*numbers, row.lacking, row.nacks)
    return (bad, row.part, row.instance, row.state, *map(_number_text, known))


def _number_text(value: float | None) -> str:
    """At most five characters for what is usual: 0, 0.25, 7.3, 1234, and - for nothing."""
    if value is None:
        return "-"
    if value == 0 or isinstance(value, int) or value >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"


def _table_lines(heading: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Lines of columns, the first `left` of them aligned to the left; rows begin with a style."""
    widths = column_widths([heading, *(row[1:] for row in rows)])

    def line(style: str, cells: Sequence[str]) -> str:
        placed = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        text = "  ".join(placed).rstrip()
        return f"{style}{text}{PLAIN}" if style else text

    return [line(BOLD, heading), *(line(row[0], row[1:]) for row in rows)]


def strip_styles(line: str) -> str:
    for style in (BOLD, DIM, RED, PLAIN):
        line = line.replace(style, "")
    return line


def fit_line(line: str, width: int) -> str:
    """No wider than the terminal; a style ends where the line does."""
    if len(strip_styles(line)) <= width:
        return line
    style = next((s for s in (BOLD, DIM, RED) if line.startswith(s)), "")
    return f"{style}{strip_styles(line)[: width - 1]}…{PLAIN}"


class Screen:
    """The whole terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines; what is usual where the terminal does not tell."""
        return shutil.get_terminal_size()

    def show(self, lines: Sequence[str]) -> None:
        """Replaces what is there, without flicker."""
        columns, height = self.size
        body = (f"{fit_line(line, columns)}{_CLEAR_LINE}" for line in lines[:height])
        self._out.write(_HOME + "\r\n".join(body) + _CLEAR_REST)
        self._out.flush()


@contextlib.contextmanager
def full_screen(out: TextIO, on_key: Callable[[str], None]) -> Iterator[Screen]:
    """Takes over the terminal until the context ends; calls `on_key` with each key."""
    stdin, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(stdin)
    tty.setcbreak(stdin)
    loop.add_reader(stdin, lambda: on_key(os.read(stdin, 1).decode(errors="replace")))
    out.write(_ENTER)
    try:
        yield Screen(out)
    finally:
        loop.remove_reader(stdin)
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
        out.write(_LEAVE)
        out.flush()
