"""Whether what a requirements.txt asks for is installed. Pure but for `installed_version`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import metadata

REQUIREMENTS = "requirements.txt"
_COMMENT = re.compile(r"(^|\s)#.*")
_OPTION = re.compile(r"\s--?[a-z].*")


def find_missing(text: str, version_of: Callable[[str], str | None]) -> list[str]:
    """The requirements that are not met, each with what is here.

    Options, such as --index-url or -r, and the hashes of a requirement are passed over.

    Args:
        text: of the file.
        version_of: the version of an installed distribution; None where there is none.

    Raises:
        ValueError: a line is not a requirement.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    missing: list[str] = []
    for line in _lines(text):
        try:
            wanted = Requirement(line)
        except InvalidRequirement as error:
            raise ValueError(f"{line!r} is not a requirement: {error}") from error
        if wanted.marker and not wanted.marker.evaluate():
            continue
        version = version_of(wanted.name)
        if version is None:
            missing.append(f"{wanted.name}{wanted.specifier} (not installed)")
        elif not wanted.specifier.contains(version, prereleases=True):
            missing.append(f"{wanted.name}{wanted.specifier} (here {version})")
    return missing


def installed_version(name: str) -> str | None:
    """Of a distribution; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        wanted = _OPTION.sub("", _COMMENT.sub("", f" {line}")).strip()
        if wanted:
            yield wanted
