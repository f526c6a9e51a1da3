"""What is known of the connected Envoys: what they should have, have, lack and refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hydro_envoy.errors import Refusal
from hydro_envoy.nodes import Node
from hydro_envoy.snapshot import Ref, Resource, ResourceType, Snapshot
from hydro_envoy.xds.stream import XdsStream


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A connected Envoy."""

    node: Node
    lacking: tuple[Ref, ...]
    """What it has not taken yet, or not dropped, of the present snapshot; sorted."""
    refused: tuple[Refusal, ...]
    """What of it it refused; it keeps the last good version, if there was one."""
    is_lagging: bool = False
    """Changes do not wait for it until it has acknowledged what it is late with."""


@dataclass(frozen=True, slots=True)
class NodeVersions:
    """What a connected Envoy should have, and what it has acknowledged."""

    node: Node
    wanted: Mapping[ResourceType, Mapping[str, Resource]]
    held: Mapping[ResourceType, Mapping[str, Resource]]


def list_refusals(
    stream: XdsStream, snapshot: Snapshot, refs: Collection[Ref] | None = None
) -> list[Refusal]:
    """What an Envoy refused of some resources; None: of all that are in the snapshot."""
    node_id = stream.node.id
    return [
        Refusal(node_id, ref.type.label, ref.name, refused.version, refused.message)
        for ref, refused in stream.session.refusals()
        if (snapshot.get(ref) if refs is None else ref in refs)
    ]


def describe_refs(refs: Collection[Ref]) -> str:
    """The first of them, for a log."""
    return ", ".join(f"{ref.type.label} {ref.name}" for ref in sorted(refs)[:5])
