"""The versions of Python and of libraries here, and how those of a model differ."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata


def versions_here(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of Python and of distributions; "" for one that is not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in libraries}


def installed(*libraries: str) -> list[str]:
    """Those of some distributions that are installed."""
    return [name for name in libraries if _version(name)]


def describe_differences(stored: Mapping[str, str]) -> str:
    """In words, how the versions here differ from those that a model was saved with; "" if not."""
    here = versions_here(name for name in stored if name != "python")
    return ", ".join(
        f"{name} {version} (here {here[name] or 'it is not installed'})"
        for name, version in stored.items()
        if version != here[name]
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
