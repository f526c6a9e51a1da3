"""What a store does: it lists its objects with stamps, and gives the content of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from hydro_services.repository.source import Stamp


class ModelStore(Protocol):
    """The objects of one root. Both calls may wait, and are called in any thread."""

    def list_objects(self) -> Mapping[str, Stamp]:
        """The stamp of each object, by its path below the root, with `/`.

        Stamps have what the store changes with each write, such as an ETag or a generation; no
        object is opened.

        Raises:
            Exception: the store does not tell.
        """
        ...

    def download(self, path: str, stamp: Stamp, part: Path) -> None:
        """Completes a file, which may have the beginning of the object's content already.

        Raises:
            FileChanged: the object has another stamp by now, or is gone; what is in the file does
                not count.
            Exception: it cannot be read; what is in the file is a beginning of it.
        """
        ...
