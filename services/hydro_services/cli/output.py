"""What a person or a program reads: data to stdout, messages to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from hydro_services import logs


@dataclass(frozen=True, slots=True)
class Output:
    """Where to write, and how."""

    json: bool = False
    """Data as JSON, for programs."""
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    @property
    def is_terminal(self) -> bool:
        return self.out.isatty()

    def data(self, text: str) -> None:
        """Writes a piece of data and passes it on at once."""
        self.out.write(text)
        self.out.flush()

    def value(self, value: object) -> None:
        """Writes a JSON value: a line where a program reads, indented on a terminal."""
        indent = 2 if self.is_terminal else None
        self.data(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")

    def line(self, value: object) -> None:
        """Writes a JSON value as one line, wherever it goes."""
        self.data(json.dumps(value, ensure_ascii=False) + "\n")

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Writes rows in aligned columns; the heading only where a person reads."""
        texts = [[logs.escape_line(str(cell)) for cell in row] for row in rows]
        heading = [[header.upper() for header in headers]] if self.is_terminal else []
        self.data(align_columns([*heading, *texts]))

    def note(self, text: str) -> None:
        """Tells a person something that is not data."""
        self.err.write(text + "\n")
        self.err.flush()

    def error(self, message: str, form: Mapping[str, object] | None = None) -> None:
        """Tells why there is no data; `form`: the same for programs, as services tell it."""
        self.note(
            json.dumps(form, ensure_ascii=False) if self.json and form else f"error: {message}"
        )


def align_columns(rows: Sequence[Sequence[str]], widths: Sequence[int] = ()) -> str:
    """Lines of columns, two spaces apart, each as wide as its widest cell or as given."""
    widths = widths or column_widths(rows)
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(line + "\n" for line in lines)


def column_widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """The widest cell of each column."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]
