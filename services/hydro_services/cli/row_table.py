"""Answers as a table for a person."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from hydro_services import logs
from hydro_services.cli.output import Output, align_columns, column_widths

MAX_CELL = 40
"""Characters of a cell; the rest is cut."""
MIN_CELL = 6


class RowTable:
    """A table of row objects that may come in pieces: the first piece sets columns and widths."""

    def __init__(self, output: Output, names: Sequence[str] = ()) -> None:
        """With these columns, or with all that the first piece has."""
        self.output = output
        self.names = list(names)
        self.widths: list[int] = []
        self.count = 0

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Writes the good rows as a table, notes those that failed, and returns how many failed."""
        good: list[tuple[int, Mapping[str, Any]]] = []
        for row in rows:
            if row.keys() == {"error"}:
                self.output.note(f"row {self.count} failed: {_reason_text(row['error'])}")
            else:
                good.append((self.count, row))
            self.count += 1
        self._write(good)
        return len(rows) - len(good)

    def _write(self, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        if not rows:
            return
        if not self.names:
            self.names = list(dict.fromkeys(name for _, row in rows for name in row))
        cells = [[str(i), *(_cell_text(row.get(name)) for name in self.names)] for i, row in rows]
        if not self.widths:
            cells.insert(0, ["row", *map(logs.escape_line, self.names)])
            width = shutil.get_terminal_size((140, 24)).columns
            self.widths = fit_widths(column_widths(cells), width - 2 * len(self.names))
        cut = [[_cut_text(c, w) for c, w in zip(row, self.widths, strict=True)] for row in cells]
        self.output.data(align_columns(cut, self.widths))


def fit_widths(widths: Sequence[int], total: int) -> list[int]:
    """The widths, the widest made narrower until all fit or are as narrow as is of use."""
    fitted = list(widths)
    while sum(fitted) > total and max(fitted) > MIN_CELL:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _reason_text(error: Any) -> str:
    reason = error.get("message", error) if isinstance(error, Mapping) else error
    return logs.escape_line(str(reason))


def _cell_text(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4g}"
        case str():
            return _cut_text(logs.escape_line(" ".join(value.split())), MAX_CELL)
        case list():
            return _cut_text(
                "[" + ", ".join(_cell_text(item) for item in value[:20]) + "]", MAX_CELL
            )
        case _:
            return _cut_text(logs.escape_line(json.dumps(value, ensure_ascii=False)), MAX_CELL)


def _cut_text(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
