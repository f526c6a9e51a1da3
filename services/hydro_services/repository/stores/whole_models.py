"""What models were when all of their files were here last: served after a restart, store or not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from hydro_services.repository.source import Key, ModelFiles, Stamp
from hydro_services.security.private_files import make_private_folder, write_private

logger = logging.getLogger(__name__)

_ANSWERED = "answered"
"""The file whose time is when the store told of all models last."""


class WholeModels:
    """A folder with a file for each model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_private_folder(folder)
        self.models = dict(filter(None, map(_read, sorted(folder.glob("*.json")))))

    @property
    def answered_ns(self) -> int:
        """When the store told of all models last, since the epoch; 0: never."""
        try:
            return (self._folder / _ANSWERED).stat().st_mtime_ns
        except OSError:
            return 0

    def touch_answered(self) -> None:
        """The store has told of all models now."""
        (self._folder / _ANSWERED).touch()

    def put(self, key: Key, model: ModelFiles) -> None:
        """Stores a model of which all files are here.

        Raises:
            OSError: it cannot be written.
        """
        if self.models.get(key) == model:
            return
        document = {
            "key": key,
            "skipped": sorted(model.skipped),
            "files": [
                [path, stamp.size_bytes, stamp.changed_ns, stamp.identity]
                for path, stamp in model.stamps
            ],
        }
        write_private(self._path(key), json.dumps(document).encode())
        self.models[key] = model

    def remove(self, key: Key) -> None:
        """Forgets a model that the store has no more."""
        self.models.pop(key, None)
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: Key) -> Path:
        return self._folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.json"


def _read(path: Path) -> tuple[Key, ModelFiles] | None:
    with contextlib.suppress(FileNotFoundError):
        try:
            document: Any = json.loads(path.read_bytes())
            stamps = tuple(
                (str(name), Stamp(int(size), int(changed_ns), tuple(identity)))
                for name, size, changed_ns, identity in document["files"]
            )
            skipped = frozenset(map(str, document["skipped"]))
            return tuple(map(str, document["key"])), ModelFiles(stamps, skipped=skipped)
        except (OSError, ValueError, TypeError, KeyError) as error:
            extra = {"path": str(path), "error": str(error)}
            logger.warning("a model's list of copies not read", extra=extra)
    return None
