"""Rows that were run again and ended a process once more: a file for each frame that has some.

Envoy runs a whole chain again when a later stage cannot be reached, such as the process that the
rows have just ended, so a stage may get them a third time. Processes that share the folder answer
them by what is known.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import pickle
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hydro_runtimes.columns import Columns
from hydro_runtimes.evaluator import Failure
from hydro_services.runtime.row_search import fail_rows

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

    def outcome(self, key: str) -> Mapping[int, Failure]:
        """The rows that ended a process that ran them again, by index."""
        try:
            return _parse_outcome((self._folder / key).read_text()) if self._folder else {}
        except OSError:
            return {}

    def add(self, key: str, failures: Mapping[int, Failure]) -> None:
        """These rows were run again and ended their process."""
        try:
            if self._folder:
                self._folder.mkdir(exist_ok=True)
                _write_whole(self._folder / key, _write_outcome(failures))
        except OSError as error:
            extra = {"path": str(self._folder), "error": str(error)}
            logger.warning("end of rows that were run again not noted", extra=extra)

    @contextlib.contextmanager
    def under_way(self, key: str, rows: int) -> Iterator[None]:
        """Runs so many rows again in this process, which may end of it."""
        self.add(key, fail_rows(range(rows), _NOT_DONE))
        try:
            yield
        finally:
            if self._folder:
                with contextlib.suppress(OSError):
                    (self._folder / key).unlink(missing_ok=True)


def _write_outcome(failures: Mapping[int, Failure]) -> str:
    """Rows and messages of failures; most often many rows have one message."""
    rows: dict[str, list[int]] = {}
    for row, failure in failures.items():
        rows.setdefault(failure.message, []).append(row)
    return json.dumps(rows)


def _parse_outcome(text: str) -> dict[int, Failure]:
    try:
        found: dict[str, list[int]] = json.loads(text)
    except ValueError:  # a full disk has cut it
        return {}
    return {
        row: Failure("MODEL_FAILED", message) for message, rows in found.items() for row in rows
    }


def _write_whole(path: Path, text: str) -> None:
    """Whoever reads it has all or nothing."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(text)
    new.replace(path)


def remove_old(folder: Path) -> None:
    """Forgets what is old."""
    oldest = time.time() - KEPT_S
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
