"""The folders that were published, stored over restarts: they keep the names of their models."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from hydro_services.security.private_files import write_private

logger = logging.getLogger(__name__)


class PublishedPaths:
    """A file of paths, relative to the root."""

    def __init__(self, path: Path | None) -> None:
        """`path` None: nothing is stored."""
        self._path = path
        self._saved = self._load()

    @property
    def owners(self) -> frozenset[str]:
        """The paths that were stored last."""
        return self._saved

    def store(self, owners: frozenset[str]) -> None:
        """Writes them if they have changed; a failure is logged, once for each change."""
        if owners == self._saved:
            return
        self._saved = owners
        try:
            if self._path:
                write_private(self._path, json.dumps(sorted(owners), indent=0).encode())
        except OSError as error:
            extra = {"path": str(self._path), "error": error.strerror}
            logger.warning("owners of model names not stored", extra=extra)

    def _load(self) -> frozenset[str]:
        try:
            paths = json.loads(self._path.read_bytes()) if self._path else []
            return frozenset(str(path) for path in paths)
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, TypeError) as error:
            extra = {"path": str(self._path), "error": str(error)}
            logger.warning("owners of model names not read", extra=extra)
            return frozenset()
