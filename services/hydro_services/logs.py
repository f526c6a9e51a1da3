"""Logging: text on a terminal, a JSON object a line otherwise. Nothing is set up at import."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(level: str = "INFO", part: str = "", stream: TextIO | None = None) -> None:
    """Sends all records of this process to `stream` (stderr), each marked with its part."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Text(part) if stream.isatty() else Json(part))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What the call gave as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


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
        return json.dumps(line, default=str, ensure_ascii=False)


class Text(logging.Formatter):
    """One line for a person, and a traceback below it."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        extra = "".join(f" {key}={value}" for key, value in fields(record).items())
        line = f"{clock} {record.levelname:<7} {self.part:<24} {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
