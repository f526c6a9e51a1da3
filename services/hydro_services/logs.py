"""Logging: text on a terminal, a JSON object a line otherwise. Nothing is set up at import.

Records that are logged while a call is served have the id of its request, as in Envoy's access log.
A record is one line whatever is in it, and nothing in it moves a terminal's cursor. Our own modules
log whatever a model does to Python's logging in its process.
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
from typing import Any, TextIO

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the call that this task serves; empty outside of calls."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What ends a line somewhere, moves a terminal's cursor, or cannot be written as UTF-8."""
PACKAGES = ("hydro_envoy", "hydro_runtimes", "hydro_services")
"""Ours."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class RequestIds:
    """Records that are logged inside get the ids of these requests, in any task or thread."""

    __slots__ = ("_ids", "_token")

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids[0] if len(ids) == 1 else " ".join(filter(None, dict.fromkeys(ids)))

    def __enter__(self) -> None:
        self._token = REQUEST_ID.set(self._ids)

    def __exit__(self, *_: object) -> None:
        REQUEST_ID.reset(self._token)


class OwnLogger(logging.Logger):
    """Logs for a module of ours whatever others set; other loggers are Python's own.

    Models silence the libraries that they use, by `logging.disable`, levels, filters or handlers of
    all loggers, or a configuration that disables those that are there. And a handler that a model
    gives to the root writes to standard error, which is logged here: it must not come back to it.
    """

    @property
    def disabled(self) -> bool:
        return not is_own(self.name) and self.__dict__.get("disabled", False)

    @disabled.setter
    def disabled(self, value: bool) -> None:
        self.__dict__["disabled"] = value

    def isEnabledFor(self, level: int) -> bool:
        if is_own(self.name):
            return level >= self.getEffectiveLevel()
        return super().isEnabledFor(level)

    def setLevel(self, level: int | str) -> None:
        """Of a module of ours only `logging.Logger.setLevel` does something."""
        if not is_own(self.name):
            super().setLevel(level)

    def makeRecord(self, *args: Any, **more: Any) -> logging.LogRecord:
        """Of a module of ours as Python makes it, whatever factory is set."""
        if not is_own(self.name):
            return super().makeRecord(*args, **more)
        name, level, file, line, message, values, error, function, extra, stack = args
        record = logging.LogRecord(name, level, file, line, message, values, error, function, stack)
        vars(record).update(extra or {})
        return record

    def handle(self, record: logging.LogRecord) -> None:
        """Of a module of ours by the handler that was set up, and no other."""
        if not is_own(self.name):
            super().handle(record)
        elif _own_handlers:
            with _own_handlers[-1].lock or contextlib.nullcontext():
                _own_handlers[-1].emit(record)


def is_own(name: str) -> bool:
    """Whether a logger of that name is of a module of ours."""
    return name.partition(".")[0] in PACKAGES


_own_handlers: list[LineHandler] = []
"""Of the records of our own modules: the last."""


def set_up_logging(level: str = "INFO", part: str = "", stream: TextIO | None = None) -> None:
    """Sends all records of this process to `stream` (stderr), each marked with its part."""
    own, others = _make_handler(part, stream), _make_handler(part, stream)
    others.addFilter(lambda record: not is_own(record.name))
    logging.basicConfig(level=level, handlers=[others], force=True)
    logging.setLoggerClass(OwnLogger)
    for name in PACKAGES:
        package = logging.getLogger(name)
        logging.Logger.setLevel(package, level)
        package.handlers = [own]
    _own_handlers[:] = [own]
    for name, known in logging.root.manager.loggerDict.items():
        if isinstance(known, logging.Logger) and is_own(name):
            known.__class__ = OwnLogger


def _make_handler(part: str, stream: TextIO | None) -> LineHandler:
    handler = LineHandler(stream or sys.stderr)
    is_terminal = handler.stream.isatty()
    handler.setFormatter(TextFormatter(part) if is_terminal else JsonFormatter(part))
    return handler


class LineHandler(logging.StreamHandler[TextIO]):
    """Logs a line for a record that cannot be formatted, and drops one that cannot be written.

    Python's own handler prints a traceback for each.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        fields = {"name": record.name, "levelno": logging.ERROR, "levelname": "ERROR"}
        text = f"a record cannot be logged: {type(error).__name__}, from line {record.lineno}"
        with contextlib.suppress(OSError, ValueError):  # the stream is closed, or its reader gone
            self.stream.write(self.format(logging.makeLogRecord({**fields, "msg": text})) + "\n")


def record_fields(record: logging.LogRecord) -> dict[str, object]:
    """The `extra` of a record, and the id of the request."""
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    id = REQUEST_ID.get()
    return {"request_id": id, **extra} if id else extra


class JsonFormatter(logging.Formatter):
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
            **record_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str, ensure_ascii=False)
        return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class TextFormatter(logging.Formatter):
    """One line for a person, and a traceback below it."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        extra = "".join(f" {key}={value}" for key, value in record_fields(record).items())
        message = escape_line(f"{record.getMessage()}{extra}")
        line = f"{clock} {record.levelname:<7} {self.part:<24} {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def escape_line(text: str) -> str:
    """The text with escapes for what ends a line or moves a terminal's cursor."""
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
