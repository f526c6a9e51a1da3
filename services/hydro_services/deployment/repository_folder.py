"""Where deployed models are in the repository's folder: `deployed/<name>/<version>`.

A version is written where the repository does not look, and renamed when it is whole, so that the
repository sees all of it or nothing. Versions stay, so that a pipeline can go back to one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hydro_runtimes import files
from hydro_services.errors import FailedPrecondition, PermissionDenied

FRAMEWORK = "deployed"
_LOCKS, _STAGED, _REMOVED = (f".deploying/{each}" for each in ("locks", "staged", "removed"))
"""What begins with a dot is not looked at."""


@dataclass(frozen=True, slots=True)
class PlacedVersion:
    """A version of a model in the repository's folder."""

    model: str
    version: str
    folder: Path
    digest: str
    is_new: bool
    """It was not there before."""


class RepositoryFolder:
    """The deployed models in a repository's folder."""

    def __init__(self, models: Path) -> None:
        self.models = models

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Nobody else on this machine deploys or undeploys the model meanwhile.

        Raises:
            FailedPrecondition: somebody else does, or the folder cannot be written to.
        """
        with self._writing():
            (self.models / _LOCKS).mkdir(parents=True, exist_ok=True)
            file = (self.models / _LOCKS / name).open("a")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"somebody else is deploying {name!r}; try again when that is done"
                raise FailedPrecondition(message, model=name) from None
            yield

    @contextlib.contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """An empty folder to write the model in, removed at the end; to be used with the lock."""
        folder = self.models / _STAGED / name
        with self._writing():
            shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def check_name(self, name: str) -> None:
        """Raises FailedPrecondition: there is a model of this name that was not deployed."""
        for folder in sorted(self.models.glob(f"*/{name}")):
            if folder.parent.name != FRAMEWORK and not folder.parent.name.startswith("."):
                there = folder.relative_to(self.models)
                way_out = "choose another name by --name, or remove that folder"
                message = f"{there} is a model of this name that hydro deploy did not write"
                raise FailedPrecondition(f"{message}; {way_out}", model=name)

    def publish(self, name: str, staged: Path) -> PlacedVersion:
        """Makes a staged folder the next version; the newest one where that has the same content.

        Raises:
            FailedPrecondition: the folder cannot be written to.
        """
        digest = files.digest_folder(staged)
        versions = self.versions(name)
        if versions:
            newest = self.models / FRAMEWORK / name / str(versions[-1])
            if files.digest_folder(newest) == digest:
                return PlacedVersion(name, str(versions[-1]), newest, digest, False)
        version = str(versions[-1] + 1 if versions else 1)
        folder = self.models / FRAMEWORK / name / version
        with self._writing():
            folder.parent.mkdir(parents=True, exist_ok=True)
            os.rename(staged, folder)
        return PlacedVersion(name, version, folder, digest, True)

    def placed(self, path: Path) -> PlacedVersion | None:
        """The version that a folder is, if it is in the repository's folder already."""
        with contextlib.suppress(ValueError):
            parts = path.resolve().relative_to(self.models.resolve()).parts
            if len(parts) in (2, 3):
                version = parts[2] if len(parts) == 3 else "1"
                return PlacedVersion(parts[1], version, path, files.digest_folder(path), False)
        return None

    def remove_version(self, placed: PlacedVersion) -> None:
        """Removes a version, and the model's folder if it was the only one."""
        self._remove(placed.folder)
        with contextlib.suppress(OSError):
            placed.folder.parent.rmdir()

    def remove_model(self, name: str) -> dict[str, str]:
        """Removes all deployed versions; the digests that they had."""
        folder = self.models / FRAMEWORK / name
        if not folder.is_dir():
            return {}
        digests = {str(v): files.digest_folder(folder / str(v)) for v in self.versions(name)}
        self._remove(folder)
        return digests

    def _remove(self, folder: Path) -> None:
        """At once, as far as the repository sees it."""
        with self._writing():
            (self.models / _REMOVED).mkdir(parents=True, exist_ok=True)
            removed = Path(tempfile.mkdtemp(dir=self.models / _REMOVED))
            os.rename(folder, removed / folder.name)
        shutil.rmtree(removed, ignore_errors=True)

    def versions(self, name: str) -> list[int]:
        """Those that were deployed, the newest last."""
        folder = self.models / FRAMEWORK / name
        names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
        return sorted(int(each) for each in names if each.isascii() and each.isdecimal())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            way_out = "run this as the user who may write to the repository's folder"
            raise PermissionDenied(f"{error.filename}: may not be written; {way_out}") from error
        except OSError as error:
            text = f"{error.filename or self.models}: {(error.strerror or str(error)).lower()}"
            raise FailedPrecondition(text) from error
