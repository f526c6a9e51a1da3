"""How rows ended that were run again: a file for each frame that ended a process once more.

Envoy runs a whole chain again when a later stage cannot be reached, such as the process that the
rows have just ended, so a stage may get them a third time. Processes that share the folder answer
them by what is known.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

from hydro_runtimes.columns import Columns

logger = logging.getLogger(__name__)

KEPT_S = 3600.0
"""Longer than Envoy runs anything again."""
_NOT_DONE = "the process that ran them again did not answer"


class RerunOutcomes:
    """Of one model."""

    def __init__(self, folder: Path | None = None, model: str = "") -> None:
        """Without a folder nothing is known, nor noted; `model` is the key."""
        self._folder = folder
        self._model = model

    def key(self, request_id: str, inputs: Columns) -> str:
        """Equal for what comes again of the same request, and of no other."""
        request = repr((self._model, request_id)).encode()
        return hashlib.sha256(request + pickle.dumps(inputs)).hexdigest()

    def outcome(self, key: str) -> str:
        """How a process ended that ran the rows again; empty where none did."""
        try:
            return (self._folder / key).read_text() if self._folder else ""
        except OSError:
            return ""

    def add(self, key: str, reason: str) -> None:
        """A process that ran the rows again has ended."""
        try:
            if self._folder:
                self._folder.mkdir(exist_ok=True)
                (self._folder / key).write_text(reason)
        except OSError as error:
            extra = {"path": str(self._folder), "error": str(error)}
            logger.warning("end of rows that were run again not noted", extra=extra)

    @contextlib.contextmanager
    def under_way(self, key: str) -> Iterator[None]:
        """Runs the rows again in this process, which may end of it."""
        self.add(key, _NOT_DONE)
        try:
            yield
        finally:
            if self._folder:
                with contextlib.suppress(OSError):
                    (self._folder / key).unlink(missing_ok=True)


def remove_old(folder: Path) -> None:
    """Forgets what is old."""
    oldest = time.time() - KEPT_S
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
