"""The present snapshot, the streams it goes to, and who waits for it. Lives on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Collection, Mapping

from hydro_envoy.errors import Nacked, NotApplied
from hydro_envoy.nodes import SIDECAR, Node
from hydro_envoy.snapshot import Ref, ResourceType, Snapshot
from hydro_envoy.xds.draining import DRAIN_S, DrainingResources
from hydro_envoy.xds.node_status import NodeStatus, NodeVersions, describe_refs, list_refusals
from hydro_envoy.xds.secrets import Issuer
from hydro_envoy.xds.session import XdsSession
from hydro_envoy.xds.stream import XdsStream
from hydro_envoy.xds.views import ABSENT, snapshot_for

logger = logging.getLogger(__name__)

MAX_NAMED = 5
"""So many Envoys that are waited for are named."""
LAG_S = 3.0
"""How long an Envoy may take to acknowledge a change before others stop waiting for it."""
LOST_S = 60.0
"""How long an Envoy whose stream ended is still named as one that may serve what it had."""


class Hub:
    """Publishes snapshots to all streams and knows what became of them."""

    def __init__(
        self,
        drain_s: Mapping[ResourceType, float] = DRAIN_S,
        *,
        is_alone: bool = True,
        issuer: Issuer | None = None,
    ) -> None:
        """`is_alone`: no other manager's hub serves gateways.

        `issuer` makes Envoys' secrets, where they speak TLS.
        """
        self._is_alone = is_alone
        self._issuer = issuer
        self._wanted: Snapshot | None = None
        self._served = Snapshot()
        """What is wanted and what is draining."""
        self._views: dict[str, Snapshot] = {}
        """What of it each kind of node gets."""
        self._draining = DrainingResources(drain_s, self._gateway_ids, self._drop_drained)
        self.loads = self._draining.loads
        self.closing = asyncio.Event()
        """Set when the streams that there are now are to end."""
        self._streams: list[XdsStream] = []
        self._lost: dict[str, XdsStream] = {}
        """By the node's id: streams that ended less than `LOST_S` ago."""
        self._changed = asyncio.Event()
        self.nacks: Counter[tuple[str, str]] = Counter()
        """Refusals, by the id of the node and the label of the type."""

    # ---- for the one who decides

    @property
    def snapshot(self) -> Snapshot:
        """The last published; empty before."""
        return self._wanted or Snapshot()

    def publish(self, snapshot: Snapshot) -> None:
        """Makes it the present snapshot; streams send what differs. To be called on the loop.

        Before the first one Envoys that connect are kept waiting, and keep what they have.
        """
        self._wanted = snapshot
        self._serve()

    async def wait_applied(self, refs: Collection[Ref] | None = None, *, timeout_s: float) -> None:
        """Waits until these are in force: all Envoys that are alive have them as they are now.

        An Envoy that is frozen, silent or slow holds up nobody for longer than `LAG_S`: then it is
        enough that the others have it, a gateway among them where no other hub can have one.

        Args:
            refs: With all that they refer to; those that are not in the snapshot are to be gone.
                None: the whole snapshot. Each Envoy must have its own view of it.
            timeout_s: How long to wait.

        Raises:
            Nacked: an Envoy refused one of them.
            NotApplied: time is up.
        """
        start = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout_s):
                # The event wakes for anything that happens at any Envoy; whether it helps is looked
                # at each time.
                while not self.is_applied(refs, start):
                    await self._changed_by(start + LAG_S)
        except TimeoutError:
            raise self._late(refs, timeout_s) from None

    async def _changed_by(self, end: float) -> None:
        """Waits for a change; or, if that is still ahead, for a time."""
        is_ahead = end > asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end if is_ahead else None):
                await self._changed.wait()

    def describe_wait(self, refs: Collection[Ref]) -> str:
        """Whom `wait_applied` waits for, for people."""
        if self._is_alone and not self.has_gateway:
            return "there is no gateway connected"
        wanted = self.snapshot.closure(refs)
        late = {c.node.id for c in self._streams if c.is_known and c.missing_refs(wanted)}
        ids = ", ".join(sorted(late)[:MAX_NAMED]) or "no Envoy"
        more = f" and {len(late) - MAX_NAMED} more" if len(late) > MAX_NAMED else ""
        return f"waits for Envoys to take it: {ids}{more}"

    def nodes(self) -> tuple[NodeStatus, ...]:
        """The connected Envoys by id."""
        return tuple(
            NodeStatus(
                c.node,
                tuple(c.session.missing_refs()),
                tuple(list_refusals(c, self.snapshot)),
                c.is_lagging,
            )
            for c in sorted(self._streams, key=lambda c: c.node.id)
        )

    def versions(self) -> tuple[NodeVersions, ...]:
        """What the connected Envoys have, by id; copied, so that it may be read elsewhere."""
        return tuple(
            NodeVersions(c.node, c.session.wanted_resources(), c.session.held_resources())
            for c in sorted(self._streams, key=lambda c: c.node.id)
        )

    def lagging_nodes(self, refs: Collection[Ref]) -> dict[Ref, tuple[str, ...]]:
        """The ids of the Envoys, connected or lost, that are late with these or what they need."""
        late: dict[str, set[Ref]] = {}
        for each in (*self._lost.values(), *(c for c in self._streams if c.is_lagging)):
            if missing := each.session.missing_refs():
                late.setdefault(each.node.id, set()).update(missing)
        if not late:
            return {}
        # Only where somebody is late: the closures of all pipelines cost time that nobody notices
        # an Envoy by.
        needed = {ref: self.snapshot.closure([ref]) for ref in refs}
        nodes_by_ref = {
            ref: tuple(sorted(id for id, missing in late.items() if not missing.isdisjoint(all_)))
            for ref, all_ in needed.items()
        }
        return {ref: ids for ref, ids in nodes_by_ref.items() if ids}

    @property
    def has_gateway(self) -> bool:
        """An Envoy is connected by which clients reach the mesh, and keeps up with changes."""
        return any(c.is_gateway and not c.is_lagging for c in self._streams)

    async def wait_changed(self) -> None:
        """Waits until an Envoy connects, takes or refuses something, or goes; or for a snapshot."""
        await self._changed.wait()

    def renew(self) -> None:
        """New secrets for all streams now: the clock jumped by which the old ones are valid."""
        for stream in self._streams:
            if stream.renewal:
                stream.renewal.cancel()
                self._renew(stream)

    def close(self) -> None:
        """Ends all streams; Envoys go on with what they have and connect again."""
        for stream in list(self._streams):
            stream.close()
        # Streams of load reports wait for this event; those that come later get the new one.
        # The order matters: set, then replaced. Who waits holds the old event, who comes later the
        # new one.
        self.closing.set()
        self.closing = asyncio.Event()
        self._draining.close()
        self._lost.clear()

    # ---- for the server

    def connect(self, *, incremental: bool) -> XdsStream:
        """A new stream, of the incremental or the state-of-the-world variant."""
        stream = XdsStream(self, XdsSession(incremental=incremental))
        self._streams.append(stream)
        return stream

    def register_node(self, stream: XdsStream) -> None:
        """The stream's node is known now."""
        stream.is_known = True
        # It is back: what it lacks is known from its own stream now.
        self._lost.pop(stream.node.id, None)
        if stream.node.role == SIDECAR:
            stream.session.absent = ABSENT
        self._renew(stream)

    def _renew(self, stream: XdsStream) -> None:
        """Gives the stream what it is to have, with new secrets, and again before they end."""
        if self._issuer:
            stream.secrets = self._issuer.issue(stream.node)
            loop = asyncio.get_running_loop()
            # By the stream: an Envoy that is away asks for new secrets itself when it connects
            # again.
            stream.renewal = loop.call_later(self._issuer.period_s, self._renew, stream)
        self._give(stream)

    def _give(self, stream: XdsStream) -> None:
        if self._wanted is None:
            return
        mine = self._view(stream.node)
        stream.session.publish(mine.plus(stream.secrets) if stream.secrets else mine)
        stream.wake()

    def forget(self, stream: XdsStream) -> None:
        """The stream ended."""
        if stream not in self._streams:
            return
        self._streams.remove(stream)
        if stream.is_known:
            # Kept for a while: an Envoy that is cut off serves on with what it had. Who asks which
            # Envoys are late with a removal has to hear of it.
            id = stream.node.id
            logger.info("the stream of an envoy ended", extra={"node_id": id})
            self._lost[id] = stream
            asyncio.get_running_loop().call_later(LOST_S, self._drop_lost, stream)
        self.notify()

    def _drop_lost(self, stream: XdsStream) -> None:
        if self._lost.get(stream.node.id) is stream:
            del self._lost[stream.node.id]

    def notify(self) -> None:
        """Wakes those who wait for a snapshot to be applied."""
        # A new event first: who waits for the next change must not find this one set still.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # ---- what is served

    def draining_clusters(self) -> frozenset[str]:
        """The draining clusters: they are removed when nothing uses them."""
        return self._draining.clusters()

    def report(self, node_id: str, under_way: Mapping[str, int]) -> None:
        """An Envoy has reported how many requests are under way in draining clusters."""
        self.loads.report(node_id, under_way, asyncio.get_running_loop().time())

    def _serve(self) -> None:
        """Gives every stream what is wanted now and what is draining."""
        # The order matters: what starts to drain is found by comparing with what is served still,
        # and views are made anew from what is served from here on.
        self._draining.update(self._served, self.snapshot)
        self._served = self._draining.extend(self.snapshot, self._served)
        self._views.clear()
        # The lost ones as well: what they lack is counted against what is wanted now, not when they
        # went.
        for stream in (*self._streams, *self._lost.values()):
            if stream.is_known:
                self._give(stream)
        self.notify()

    def _drop_drained(self) -> None:
        # Taken from what is served first: `_serve` would start to drain it again.
        self._served = self._draining.extend(self.snapshot, self._served)
        self._serve()

    def _view(self, node: Node) -> Snapshot:
        """Envoys of one kind share one object."""
        if node.view not in self._views:
            self._views[node.view] = snapshot_for(self._served, node)
        return self._views[node.view]

    def _gateway_ids(self) -> list[str]:
        return [c.node.id for c in self._streams if c.is_gateway]

    # ---- what became of a snapshot

    def is_applied(self, refs: Collection[Ref] | None, since: float) -> bool:
        """Whether it is as `wait_applied` waits for it, from a time on; raises Nacked as that."""
        wanted = None if refs is None else self.snapshot.closure(refs)
        missing = {c: c.missing_refs(wanted) for c in self._streams if c.is_known}
        took = [c for c, lacks in missing.items() if not lacks]
        # A refusal by one Envoy is the answer, whatever others took: they all would serve different
        # things.
        if refusals := [r for c in missing for r in list_refusals(c, self.snapshot, wanted)]:
            raise Nacked(refusals, [c.node.id for c in took])
        # Without a gateway nobody has it; where there are other hubs, one of theirs may have it.
        is_served = not self._is_alone or any(c.is_gateway for c in took)
        if self._wanted is None or not is_served:
            return False
        late = {c: lacks for c, lacks in missing.items() if lacks and not c.is_lagging}
        if asyncio.get_running_loop().time() < since + LAG_S:
            return not late
        # Marked as late for all that wait, now and later: they are not to wait LAG_S each.
        for stream, lacks in late.items():
            stream.late_with = frozenset(lacks)
            extra = {"node_id": stream.node.id, "resources": describe_refs(lacks)}
            logger.warning("an envoy does not take changes, none waits for it", extra=extra)
        return True

    def _describe_missing(self, refs: Collection[Ref] | None) -> list[str]:
        return [
            f"{c.node.id}: {ref.type.label} {ref.name}"
            for c in self._streams
            for ref in c.missing_refs(refs)
            if c.is_known
        ]

    def _late(self, refs: Collection[Ref] | None, timeout_s: float) -> NotApplied:
        if self._is_alone and not any(c.is_gateway for c in self._streams):
            return NotApplied(f"no gateway connected within {timeout_s:g} s")
        wanted = None if refs is None else self.snapshot.closure(refs)
        lacking = list(self._describe_missing(wanted))
        words = ", ".join(lacking[:5]) or "the first snapshot"
        return NotApplied(f"envoy did not take within {timeout_s:g} s: {words}", lacking)
