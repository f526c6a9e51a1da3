"""What the repository offers: one immutable value, made from the versions that were found.

Nothing here reads a file or knows gRPC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from hydro_runtimes.evaluator import Part, Signature
from hydro_services import errors

Key: TypeAlias = tuple[str, str, str]
"""Framework, model and version: where a model is, below the root."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_VERSION = re.compile(r"v?[0-9][A-Za-z0-9_.-]{0,63}")
_UNKNOWN = Signature((), ())
_PARTS = re.compile(r"[0-9]+|[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells, without reading it, that a file is the one that was read before."""

    size_bytes: int
    mtime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model."""

    path: str
    """Relative to the model, with `/`."""
    sha256: str
    """Of the content, hexadecimal."""
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model, published or refused."""

    framework: str
    model: str
    version: str
    folder: Path
    format: str = ""
    digest: str = ""
    signature: Signature = _UNKNOWN
    parts: tuple[Part, ...] = ()
    """The stages of a Spark model."""
    files: tuple[File, ...] = ()
    """Sorted by path."""
    refused: str = ""
    """Why it is refused, and the way out; empty when it is published."""

    @property
    def error(self) -> errors.ModelRefused | None:
        """The refusal, as what is raised."""
        if not self.refused:
            return None
        message = f"model {self.model!r} version {self.version!r} is refused: {self.refused}"
        return errors.ModelRefused(message, model=self.model, version=self.version)

    def file(self, path: str) -> File:
        """The file that is published under exactly this path.

        Raises:
            errors.NotFound: there is none, whatever the path spells.
        """
        for file in self.files:
            if file.path == path:
                return file
        message = (
            f"model {self.model!r} version {self.version!r} has no file {path!r}; list its files"
        )
        raise errors.NotFound(message, model=self.model, version=self.version, path=path)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All versions, by model; the versions of a model in natural order, the latest last."""

    models: Mapping[str, tuple[ModelVersion, ...]]

    @property
    def versions(self) -> tuple[ModelVersion, ...]:
        """All of them, sorted by model and version."""
        return tuple(version for versions in self.models.values() for version in versions)

    @property
    def published(self) -> tuple[ModelVersion, ...]:
        """Those that are not refused, sorted by model and version."""
        return tuple(version for version in self.versions if not version.refused)

    def find(self, model: str, version: str = "") -> ModelVersion:
        """The version that is named, or else the latest that is published.

        Raises:
            errors.NotFound: no such model or version.
            errors.ModelRefused: it is there, but refused.
        """
        named = [v for v in reversed(self.models.get(model, ())) if version in ("", v.version)]
        if not named:
            raise _not_found(model, version, self.models)
        latest = max(named, key=lambda v: not v.refused)
        if latest.error:
            raise latest.error
        return latest


def build(versions: Iterable[ModelVersion]) -> Catalogue:
    """The catalogue of these versions.

    A model that is in more than one framework belongs to the first, by name, in which it has a
    version that can be served; the others' versions are refused.
    """
    found = sorted(versions, key=lambda v: (v.model, v.refused != "", v.framework))
    owners = {v.model: v.framework for v in reversed(found)}
    models: dict[str, list[ModelVersion]] = {}
    for version in found:
        owner = owners[version.model]
        mine = version.framework == owner
        models.setdefault(version.model, []).append(version if mine else _clash(version, owner))
    ordered = {name: tuple(sorted(models[name], key=_order)) for name in sorted(models)}
    return Catalogue(ordered)


def natural(version: str) -> tuple[tuple[int, int, str], ...]:
    """A key by which "1.0.10" comes after "1.0.2", "v3" after "2", and "1.0" after "1.0-rc1"."""
    parts = _PARTS.findall(version.removeprefix("v"))
    return (
        *((2, int(part), "") if part.isdigit() else (0, 0, part.lower()) for part in parts),
        (1, 0, ""),
    )


def is_version(folder: str) -> bool:
    """Whether a folder's name is that of a version, such as 1, 2, v3 or 1.0.2."""
    return _VERSION.fullmatch(folder) is not None


def is_name(folder: str) -> bool:
    """Whether a folder's name can be that of a model."""
    return _NAME.fullmatch(folder) is not None


def _order(version: ModelVersion) -> tuple[object, ...]:
    return (natural(version.version), version.version, version.framework)


def _clash(version: ModelVersion, owner: str) -> ModelVersion:
    """The same version, refused for its name."""
    reason = (
        f"got the name both in {owner!r} and in {version.framework!r}, want names that are unique"
        " across frameworks; rename one of the folders"
    )
    return replace(version, refused=reason)


def _not_found(model: str, version: str, models: Mapping[str, object]) -> errors.NotFound:
    if model in models:
        message = f"model {model!r} has no version {version!r}; list the models"
        return errors.NotFound(message, model=model, version=version)
    known = ", ".join(list(models)[:20]) or "none"
    return errors.NotFound(f"no model {model!r}; the repository has: {known}", model=model)
