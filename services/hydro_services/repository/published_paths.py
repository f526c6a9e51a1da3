"""The folders that were published, stored over restarts: they keep the names of their models."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hydro_services.security.private_files import write_private

logger = logging.getLogger(__name__)

Owners: TypeAlias = tuple[frozenset[str], ...]
"""For each root, the paths relative to it."""


class PublishedPaths:
    """A file of paths: a list where there is one root without a label, else one for each label."""

    def __init__(self, path: Path | None, labels: Sequence[str] = ("",)) -> None:
        """`path` None: nothing is stored."""
        self._path = path
        self._labels = labels
        self._document: Any = []
        self._saved = self._load()

    @property
    def _is_alone(self) -> bool:
        return tuple(self._labels) == ("",)

    @property
    def owners(self) -> Owners:
        """The paths that were stored last."""
        return self._saved

    def store(self, owners: Owners) -> None:
        """Writes them if they have changed; a failure is logged, once for each change."""
        self._saved = owners
        document = self._to_json(owners)
        if document == self._document:
            return
        self._document = document
        try:
            if self._path:
                write_private(self._path, json.dumps(document, indent=0).encode())
        except OSError as error:
            extra = {"path": str(self._path), "error": error.strerror}
            logger.warning("owners of model names not stored", extra=extra)

    def _to_json(self, owners: Owners) -> object:
        lists = [sorted(paths) for paths in owners]
        return lists[0] if self._is_alone else dict(zip(self._labels, lists, strict=True))

    def _load(self) -> Owners:
        try:
            self._document = json.loads(self._path.read_bytes()) if self._path else []
            return tuple(frozenset(map(str, paths)) for paths in self._lists(self._document))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            extra = {"path": str(self._path), "error": str(error)}
            logger.warning("owners of model names not read", extra=extra)
        return (frozenset(),) * len(self._labels)

    def _lists(self, document: Any) -> list[Any]:
        """The paths of each root.

        Those of a root that was alone are the first one's; one that is alone now may be any.
        """
        if isinstance(document, list):
            return [document, *[[]] * (len(self._labels) - 1)]
        if self._is_alone:
            return [[path for paths in document.values() for path in paths]]
        return [document.get(label, []) for label in self._labels]
