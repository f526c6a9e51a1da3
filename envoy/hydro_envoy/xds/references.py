"""Break late, by references: what a client may still use, so that it is not removed yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from hydro_envoy.snapshot import Ref, ResourceType
from hydro_envoy.xds.type_state import TypeState

REFERRERS = {
    ResourceType.CLUSTER: (ResourceType.LISTENER, ResourceType.SCOPE, ResourceType.ROUTES),
    ResourceType.ENDPOINTS: (
        ResourceType.CLUSTER,
        ResourceType.LISTENER,
        ResourceType.SCOPE,
        ResourceType.ROUTES,
    ),
    ResourceType.LISTENER: (),
    ResourceType.FILTER: (ResourceType.LISTENER,),
    ResourceType.SCOPE: (),
    ResourceType.ROUTES: (ResourceType.SCOPE,),
    ResourceType.SECRET: (),
}
"""The types that may refer to a type. No cycles: else two removals could wait for each other."""


@dataclass(frozen=True, slots=True)
class References:
    """What a client has or is sent that refers to other resources."""

    refs: frozenset[Ref]
    """What is referred to by something that the client has or is sent."""
    unknown: frozenset[ResourceType]
    """Of these it may have some from an earlier stream that we do not know."""

    def is_maybe_referenced(self, ref: Ref) -> bool:
        """Something refers to it, or what may do so is not known."""
        return ref in self.refs or bool(self.unknown.intersection(REFERRERS[ref.type]))


def find_references(
    types: Mapping[ResourceType, TypeState], absent: Set[ResourceType]
) -> References:
    """Of all that a client has, or is sent, of all types; `absent`: those it never has."""
    refs: set[Ref] = set()
    # A type that this stream has not asked for yet: after a reconnect the client may have resources
    # of it from an earlier stream, and tells of them only in its first request for the type.
    unknown = set(ResourceType) - types.keys() - absent
    for type_, state in types.items():
        # What is under way counts, though it is not acknowledged: Envoy may have it in use already.
        in_flight = state.awaiting_ack.items.values() if state.awaiting_ack else ()
        for each in (*state.held.values(), *in_flight):
            if each is not None:
                # A removal that is under way has None here: what it referred to is free.
                refs.update(each.references)
                # Without a body it is from an earlier stream, in a version that we do not know.
                unknown |= set() if each.body else {type_}
    scopes = types.get(ResourceType.SCOPE)
    if scopes and not scopes.held:
        unknown.discard(ResourceType.ROUTES)  # a client has no routes without scopes
    return References(frozenset(refs), frozenset(unknown))
