"""What the repository offers: one immutable value, made of all versions of all models. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from hydro_runtimes.evaluator import FittedWith, ModelStage, Signature
from hydro_services import errors, model_names
from hydro_services.repository import name_owners
from hydro_services.repository.source import Key, Stamp

FLAT = "1"
"""The version of a model whose files are in the model's folder itself."""

_UNKNOWN = Signature((), ())
_PARTS = re.compile(r"[0-9]+|[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file of a model."""

    path: str
    """Relative to the model, with `/`."""
    sha256: str
    """Of the content, hexadecimal."""
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model, published or refused."""

    key: Key
    """As the source has it; names of a version that is refused may be malformed."""
    format: str = ""
    digest: str = ""
    signature: Signature = _UNKNOWN
    parts: tuple[ModelStage, ...] = ()
    """The stages of a Spark model."""
    fitted: FittedWith | None = None
    """Of a model that hydro_models has saved."""
    files: tuple[PublishedFile, ...] = ()
    """Sorted by path."""
    refused: str = ""
    """Why it is refused, and the way out; empty when it is published."""
    is_reading: bool = False
    """It is new or has changed and is still to be read; other fields are of before the change."""
    since_ns: int = 0
    """The oldest change of any of its files, since the epoch."""
    root: int = 0
    """Which of the roots it is from."""

    @property
    def model(self) -> str:
        return as_text(self.key[1])

    @property
    def version(self) -> str:
        return FLAT if self.is_flat else as_text(self.key[2])

    @property
    def is_flat(self) -> bool:
        """Whether its files are in the model's folder, not in a version's."""
        return len(self.key) == 2

    @property
    def home(self) -> str:
        """The model's folder, relative to the root."""
        return as_text("/".join(self.key[:2]))

    @property
    def path(self) -> str:
        """The version's folder, relative to the root."""
        return as_text("/".join(self.key))

    @property
    def is_published(self) -> bool:
        """Whether it has been read and is not refused."""
        return bool(self.digest) and not self.refused

    @property
    def error(self) -> errors.HydroError | None:
        """Why it cannot be served; None if it can."""
        facts = {"model": self.model, "version": self.version}
        name = f"model {self.model!r} version {self.version!r}"
        if self.refused:
            return errors.ModelRefused(f"{name} is refused: {self.refused}", **facts)
        if not self.digest:
            return errors.Unavailable(f"{name} is being read; try again", **facts)
        return None

    def file(self, path: str) -> PublishedFile:
        """The file of exactly this path: no path is normalized or opened to find it.

        Raises:
            errors.NotFound: the version has no such file.
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
        return tuple(version for version in self.versions if version.is_published)

    def find(self, model: str, version: str = "") -> ModelVersion:
        """The version of this name, or the latest one that is published.

        Raises:
            errors.NotFound: no such model or version.
            errors.ModelRefused: it is refused.
            errors.Unavailable: it is being read.
        """
        named = [v for v in reversed(self.models.get(model, ())) if version in ("", v.version)]
        if not named:
            raise _not_found(model, version, self.models)
        latest = max(named, key=lambda v: v.is_published)
        if latest.error:
            raise latest.error
        return latest


def build_catalogue(
    versions: Iterable[ModelVersion],
    owners: Set[str] = frozenset(),
    labels: Sequence[str] = ("",),
) -> Catalogue:
    """The catalogue of these versions, some refused because they have the names of others.

    Args:
        versions: all that the sources have, read or not.
        owners: the places of those that were published before; see `name_owners.find_refusals`.
        labels: of the roots: what stands before paths in places; see `join_place`.
    """
    versions = tuple(versions)
    reasons = name_owners.find_refusals(
        [_make_candidate(v, labels[v.root]) for v in versions if _has_valid_names(v)], owners
    )
    models: dict[str, list[ModelVersion]] = {}
    for version in versions:
        reason = reasons.get(join_place(labels[version.root], version.path))
        version = replace(version, refused=reason) if reason else version
        models.setdefault(version.model, []).append(version)
    return Catalogue(
        {name: tuple(sorted(models[name], key=_version_order)) for name in sorted(models)}
    )


def _has_valid_names(version: ModelVersion) -> bool:
    """Whether its names are well-formed; others are refused for that and compete with none."""
    return is_name(version.model) and (version.is_flat or is_version(version.version))


def join_place(label: str, path: str) -> str:
    """A path with its root; alone where the root has no label."""
    return f"{label}/{path}" if label else path


def _make_candidate(version: ModelVersion, label: str) -> name_owners.Candidate:
    return name_owners.Candidate(
        join_place(label, version.path),
        join_place(label, version.home),
        version.model,
        None if version.is_flat else natural_order(version.version),
        bool(version.refused),
        version.since_ns,
    )


def natural_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """A key by which "1.0.10" comes after "1.0.2", "v3" after "2", and "1.0" after "1.0-rc1"."""
    parts = _PARTS.findall(version.removeprefix("v"))
    return (
        *((2, int(part), "") if part.isdigit() else (0, 0, part.lower()) for part in parts),
        (1, 0, ""),
    )


def is_version(folder: str) -> bool:
    """Whether this is a version, such as 1, 2, v3 or 1.0.2."""
    return model_names.VERSION.fullmatch(folder) is not None


def is_name(folder: str) -> bool:
    return model_names.NAME.fullmatch(folder) is not None


def as_text(name: str) -> str:
    """The name as text that can be sent: names in a file system need not be UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


def _version_order(version: ModelVersion) -> tuple[object, ...]:
    return (natural_order(version.version), version.version, version.path, version.root)


def _not_found(model: str, version: str, models: Mapping[str, object]) -> errors.NotFound:
    if model in models:
        message = f"model {model!r} has no version {version!r}; list the models"
        return errors.NotFound(message, model=model, version=version)
    known = ", ".join(list(models)[:20]) or "none"
    return errors.NotFound(f"no model {model!r}; the repository has: {known}", model=model)
