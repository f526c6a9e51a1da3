"""Which folders were published, over restarts of the repository: they keep their names."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from hydro_services.security.private_files import write_private

logger = logging.getLogger(__name__)


class Memory:
    """A file with the paths of the folders that were published, relative to the root."""

    def __init__(self, path: Path | None) -> None:
        """`path` None: nothing survives a restart."""
        self._path = path
        self._saved = self._load()

    @property
    def owners(self) -> frozenset[str]:
        """As they were kept last."""
        return self._saved

    def keep(self, owners: frozenset[str]) -> None:
        """Writes them where they have changed; a disk that takes nothing is told of, once."""
        if owners == self._saved:
            return
        self._saved = owners
        try:
            if self._path:
                write_private(self._path, json.dumps(sorted(owners), indent=0).encode())
        except OSError as error:
            extra = {"path": str(self._path), "error": error.strerror}
            logger.warning("who has which model name is not kept", extra=extra)

    def _load(self) -> frozenset[str]:
        try:
            found = json.loads(self._path.read_bytes()) if self._path else []
            return frozenset(str(path) for path in found)
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, TypeError) as error:
            extra = {"path": str(self._path), "error": str(error)}
            logger.warning("who had which model name is not known", extra=extra)
            return frozenset()
