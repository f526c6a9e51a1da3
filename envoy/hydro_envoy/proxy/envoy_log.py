"""Lines of Envoy's log, for `logging`."""

from __future__ import annotations

import asyncio
import logging
import re

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_LOG_LINE = re.compile(r"(trace|debug|info|warning|error|critical)\|([^|]*)\|(.*)")


def read_log_line(line: str) -> tuple[int, str, str]:
    """Level, component and text of a line that Envoy logged; what is not one counts as an error."""
    match = _LOG_LINE.fullmatch(line)
    if match is None:
        return logging.ERROR, "", line
    level, component, text = match.groups()
    return _LEVELS[level], component, text


async def read_line(stream: asyncio.StreamReader) -> str:
    """The next line; one beyond the stream's limit is skipped, its end comes as a line."""
    while True:
        try:
            return (await stream.readline()).decode(errors="replace")
        except ValueError:
            continue
