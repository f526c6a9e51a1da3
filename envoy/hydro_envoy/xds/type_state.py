"""What one stream knows of one type of resources. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hydro_envoy.snapshot import Resource
from hydro_envoy.xds.messages import RefusedVersion
from hydro_envoy.xds.subscription import Subscription


@dataclass(frozen=True, slots=True)
class PendingResponse:
    """A response that the client has yet to answer."""

    nonce: str
    items: Mapping[str, Resource | None]
    """What it changes, by name; None: is removed."""


@dataclass(slots=True)
class TypeState:
    """Of one type: what is asked for, what the client has, and what is to be sent."""

    subscription: Subscription = field(default_factory=Subscription)
    held: dict[str, Resource] = field(default_factory=dict)
    """What the client has acknowledged."""
    refused: dict[str, RefusedVersion] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    """What may differ from the target."""
    forced: set[str] = field(default_factory=set)
    """Those of them to be sent even when they do not differ."""
    suspects: list[frozenset[str]] = field(default_factory=list)
    """Parts of a refused response, to be sent one by one."""
    awaiting_ack: PendingResponse | None = None
    nonce: str = ""
    answered: bool = False

    def concerns(self, name: str) -> bool:
        """The client has it, is sent it, or waits for an answer to having asked for it."""
        in_flight = self.awaiting_ack.items if self.awaiting_ack else ()
        return name in self.held or name in self.forced or name in in_flight

    def require(self, names: Iterable[str]) -> None:
        """The names are sent again, whatever the client had."""
        for name in names:
            # As if the client had never had it; a refusal is forgotten, too, since it asks anew.
            self.held.pop(name, None)
            self.refused.pop(name, None)
            self.forced.add(name)
            self.pending.add(name)
