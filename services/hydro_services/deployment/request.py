"""What is asked of a deployment, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from hydro.manager.v1.pipeline_pb2 import Pipeline
from hydro_envoy.address import Address
from hydro_services.client import ManagerClient
from hydro_services.errors import InvalidArgument
from hydro_services.manager.domain.references import NAME, NAME_RULE
from hydro_services.reachability import Tls

ApplyPipeline: TypeAlias = Callable[[ManagerClient, Pipeline, float], Coroutine[Any, Any, Pipeline]]
"""Given what is wanted and how many seconds that may take; answers when it serves."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a mesh is, and with what to call it."""

    manager: Address
    repository: Address
    gateway: Address
    admin_key: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """What is to be deployed as what."""

    model: str
    """A path, or the URL of a store."""
    name: str
    example: Path | None
    is_trusted: bool
    """It may run code."""
    models: Path | None
    """The repository's folder; None: the running mesh tells."""
    trusted: Path | None
    """The list of trusted digests; None: the running mesh tells."""
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Deployed:
    """A model that serves."""

    name: str
    version: str
    digest: str
    format: str
    service: str
    folder: Path
    is_new: bool
    """False: the same content was deployed before."""
    rows: Sequence[Mapping[str, Any]]
    """Of the example, or one that is made up."""
    answers: Sequence[Mapping[str, Any]]
    """To them, from the mesh."""
    compared: str
    """With what; empty: with nothing."""


def _last_name(model: str) -> str:
    """Of a path or an URL, without the tag or revision that a registry's may have."""
    if model.startswith("models:/"):  # the stage or the version follows
        return re.split("[/@]", model.removeprefix("models:/"))[0]
    last = model.rstrip("/").rpartition("/")[2]
    return re.split("[:@]", last)[0] if "://" in model else last


def choose_name(model: str, name: str | None) -> str:
    """The name that is given, or else the one of the file or folder.

    Raises:
        InvalidArgument: it cannot be a pipeline's.
    """
    if name is None:
        stem = _last_name(model)
        stem = stem if not Path(stem).suffix[1:].isalpha() else Path(stem).stem
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", stem)
    if NAME.fullmatch(name):
        return name
    raise InvalidArgument(f"no pipeline is called {name!r}; give a name by --name: {NAME_RULE}")
