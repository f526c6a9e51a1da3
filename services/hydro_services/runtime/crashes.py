"""Which models have ended their process, and which are out for it: a line for each, in a file.

The processes that share a cache share the file, so a model that ends one after the other is known
by all. What counts is in `suspended_until`.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from hydro_services import errors

logger = logging.getLogger(__name__)

LIMIT = 3
WITHIN_S = 60.0
"""A model that ends `LIMIT` processes within `WITHIN_S` is suspended."""
FIRST_OUT_S, MAX_OUT_S = 60.0, 3600.0
"""How long a suspension lasts: the first one, and the longest; each is twice the one before."""
KEPT_S = 24 * 3600.0
"""Older crashes are forgotten."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A process that a model ended."""

    time_s: float
    """By the wall clock, which the next process has too."""
    model: str
    """The key."""
    reason: str
    """For people, such as "SIGSEGV"."""


def suspended_until(times_s: Iterable[float]) -> float:
    """Until when a model is suspended that ended processes at these times, sorted; 0: it never was.

    After three crashes in a minute it is suspended for a minute, after the next three for twice as
    long, and so on up to an hour.
    """
    until, out_s = 0.0, FIRST_OUT_S
    recent: list[float] = []
    for time_s in times_s:
        recent = [*(each for each in recent if time_s - each < WITHIN_S), time_s]
        if len(recent) >= LIMIT:
            until, recent = time_s + out_s, []
            out_s = min(out_s * 2, MAX_OUT_S)
    return until


class Crashes:
    """What is known; read anew where another process has written."""

    def __init__(
        self, file: Path = Path(os.devnull), clock: Callable[[], float] = time.time
    ) -> None:
        """With a clock in seconds since 1970."""
        self._file = file
        self._clock = clock
        self._seen: tuple[int, int] = (0, 0)
        self._last: dict[str, Crash] = {}
        self._until: dict[str, float] = {}

    def add(self, model: str, reason: str) -> None:
        """A model has ended a process."""
        crash = Crash(self._clock(), model, reason)
        logger.error("a model ended its process", extra={"model": model, "error": reason})
        line = json.dumps(asdict(crash)) + "\n"
        try:
            with self._file.open("a") as file:
                file.write(line)
        except OSError as error:
            logger.warning("crash not noted", extra={"path": str(self._file), "error": str(error)})
        self.refresh()

    def refresh(self) -> None:
        """Takes in what has been written."""
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return
            lines = self._file.read_text().splitlines()
            crashes = [found for line in lines if (found := _parse_crash(line))]
        except OSError:
            seen, crashes = (0, 0), []
        now, by_model = self._clock(), defaultdict[str, list[float]](list)
        for crash in sorted(crashes, key=lambda crash: crash.time_s):
            if now - KEPT_S < crash.time_s <= now:  # the clock may have been set back
                by_model[crash.model].append(crash.time_s)
                self._last[crash.model] = crash
        self._until = {model: suspended_until(times) for model, times in by_model.items()}
        self._seen = seen

    def trim(self) -> None:
        """Forgets what is old; at a start, when nobody writes much."""
        try:
            lines = self._file.read_text().splitlines(keepends=True)
            oldest = self._clock() - KEPT_S
            kept = [
                line for line in lines if (found := _parse_crash(line)) and found.time_s > oldest
            ]
            if len(kept) < len(lines):
                new = self._file.with_name(f"{self._file.name}.{os.getpid()}")
                new.write_text("".join(kept))
                os.replace(new, self._file)
        except OSError as error:
            logger.debug("crashes not trimmed", extra={"error": str(error)})

    def suspension(self, model: str) -> errors.ModelSuspended | None:
        """Why the model may not run now, if it may not."""
        until = self._until.get(model, 0.0)
        if not until or not 0 < until - self._clock() <= MAX_OUT_S:  # the clock may be set back
            return None
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until))
        return errors.ModelSuspended(
            f"model {model} has ended its process {LIMIT} times within {WITHIN_S:g} s, last by "
            f"{self._last[model].reason}: it is out until {at}; publish a version that does not, "
            "or wait",
            model=model,
            until=at,
        )


def _parse_crash(line: str) -> Crash | None:
    """Of a line of the file, which may have been cut by a full disk."""
    try:
        return Crash(**json.loads(line))
    except (ValueError, TypeError):
        return None
