"""Logging: text on a terminal, a JSON object a line otherwise. Nothing is set up at import.

What is logged while a call is served has the id of its request, as Envoy's access log has it.
Whatever a record says, it is one line, and nothing in it moves a terminal's cursor.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TextIO

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the call that this task serves; empty outside of calls."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What ends a line somewhere, moves a terminal's cursor, or cannot be written as UTF-8."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Requests:
    """What is logged inside is of calls with these ids, whoever's task or thread it is."""

    __slots__ = ("_ids", "_token")

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids[0] if len(ids) == 1 else " ".join(filter(None, dict.fromkeys(ids)))

    def __enter__(self) -> None:
        self._token = REQUEST_ID.set(self._ids)

    def __exit__(self, *_: object) -> None:
        REQUEST_ID.reset(self._token)


def set_up(level: str = "INFO", part: str = "", stream: TextIO | None = None) -> None:
    """Sends all records of this process to `stream` (stderr), each marked with its part."""
    stream = stream or sys.stderr
    handler = Handler(stream)
    handler.setFormatter(Text(part) if stream.isatty() else Json(part))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class Handler(logging.StreamHandler[TextIO]):
    """A record that cannot be formatted is told in a line, one that cannot be written is left out.

    Python's own prints a traceback for each.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        told = {"name": record.name, "levelno": logging.ERROR, "levelname": "ERROR"}
        text = f"a record cannot be logged: {type(error).__name__}, from line {record.lineno}"
        with contextlib.suppress(OSError, ValueError):  # the stream is closed, or its reader gone
            self.stream.write(self.format(logging.makeLogRecord({**told, "msg": text})) + "\n")


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What the call gave as `extra`, and the id of the request."""
    given = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    id = REQUEST_ID.get()
    return {"request_id": id, **given} if id else given


class Json(logging.Formatter):
    """A JSON object a line: time, level, part, logger, message, the fields, and a traceback."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "part": self.part,
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str, ensure_ascii=False)
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Text(logging.Formatter):
    """One line for a person, and a traceback below it."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        extra = "".join(f" {key}={value}" for key, value in fields(record).items())
        told = one_line(f"{record.getMessage()}{extra}")
        line = f"{clock} {record.levelname:<7} {self.part:<24} {told}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def one_line(text: str) -> str:
    """The text with escapes for what ends a line or moves a terminal's cursor."""
    return _CONTROL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
