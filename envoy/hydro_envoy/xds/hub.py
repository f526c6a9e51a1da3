"""The present snapshot, the streams it goes to, and who waits for it. Lives on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hydro_envoy.errors import Nacked, NotApplied, Refusal
from hydro_envoy.nodes import SIDECAR, Node
from hydro_envoy.snapshot import Ref, Resource, ResourceType, Snapshot, find_retiring
from hydro_envoy.xds.loads import Loads
from hydro_envoy.xds.secrets import Issuer
from hydro_envoy.xds.session import Request, Response, Session
from hydro_envoy.xds.views import ABSENT, snapshot_for

logger = logging.getLogger(__name__)

LINGER_S: Mapping[ResourceType, float] = MappingProxyType(
    {ResourceType.CLUSTER: 300.0, ResourceType.SCOPE: 10.0}
)
"""How long Envoy keeps what is not wanted any more: a cluster, because its streams are cut when it
goes; a chain that a front led to, because requests are on their way from one to the other.

An Envoy that reports its loads keeps a cluster for as long as something is under way in it."""
UNUSED_S = 60.0
"""Until such a cluster may go: no request that has a time limit is longer on its way to a stage."""
LOOK_S = 2.0
"""How often it is looked whether it may."""

MAX_NAMED = 5
"""So many Envoys that are waited for are named."""
LAG_S = 3.0
"""How long an Envoy may take to acknowledge a change before others stop waiting for it."""
LOST_S = 60.0
"""How long an Envoy whose stream ended is still named as one that may serve what it had."""


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


class Connection:
    """One stream's end at the hub: the pump puts requests in and takes responses out."""

    def __init__(self, hub: Hub, session: Session) -> None:
        self.session = session
        self.node = Node("")
        self.is_known = False
        """Its node has told who it is."""
        self.secrets: tuple[Resource, ...] = ()
        self.renewal: asyncio.TimerHandle | None = None
        """Of the secrets."""
        self.late_with: frozenset[Ref] = frozenset()
        """What it had not acknowledged `LAG_S` after others began to wait for that."""
        self._hub = hub
        self._wake = asyncio.Event()
        self._closed = False

    def receive(self, request: Request, node: Node | None = None) -> None:
        """A request from Envoy; the first has the node."""
        if not self.is_known:
            self.node = node or self.node
            self._hub.introduce(self)
        if request.error is not None:
            fields = {"node_id": self.node.id, "type_url": request.type.url}
            logger.warning("envoy refused resources", extra=fields | {"error": request.error})
            self._hub.nacks[self.node.id, request.type.label] += 1
        self.session.receive(request)
        self.wake()
        self._hub.notify()

    async def responses(self) -> AsyncIterator[Response]:
        """What to send, until closed. Cancelling it loses nothing but the stream."""
        while not self._closed:
            for response in self.session.poll():
                yield response
            await self._wake.wait()
            self._wake.clear()

    def wake(self) -> None:
        """The state changed: there may be something to send."""
        self._wake.set()

    def close(self) -> None:
        """Ends `responses`; the hub forgets the stream. May be called again."""
        self._closed = True
        if self.renewal:
            self.renewal.cancel()
        self._hub.forget(self)
        self.wake()

    @property
    def is_lagging(self) -> bool:
        """It has still not acknowledged what it is late with."""
        if self.late_with and all(map(self.session.has, self.late_with)):
            self.late_with = frozenset()
        return bool(self.late_with)

    def missing(self, refs: Collection[Ref] | None) -> list[Ref]:
        """Which of these it has not acknowledged as they are now; None: of all that is for it."""
        if refs is None:
            return self.session.lacking()
        return [ref for ref in sorted(refs) if not self.session.has(ref)]


class Hub:
    """Publishes snapshots to all streams and knows what became of them."""

    def __init__(
        self,
        linger_s: Mapping[ResourceType, float] = LINGER_S,
        *,
        is_alone: bool = True,
        issuer: Issuer | None = None,
    ) -> None:
        """Is alone, or there are other hubs, to which the gateways may be connected.

        `issuer` makes Envoys' secrets, where they speak TLS.
        """
        self._linger_s = linger_s
        self._is_alone = is_alone
        self._issuer = issuer
        self._wanted: Snapshot | None = None
        self._served = Snapshot()
        """What is wanted and what lingers."""
        self._views: dict[str, Snapshot] = {}
        """What of it each kind of node gets."""
        self._lingering: dict[Ref, asyncio.TimerHandle] = {}
        self._retired: dict[Ref, float] = {}
        """Since when these linger."""
        self.loads = Loads()
        self.closing = asyncio.Event()
        """Set when the streams that there are now are to end."""
        self._connections: list[Connection] = []
        self._lost: dict[str, Connection] = {}
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

    async def applied(self, refs: Collection[Ref] | None = None, *, timeout_s: float) -> None:
        """Waits until these are in force: all Envoys that are alive have them as they are now.

        An Envoy that is frozen, silent or slow holds up nobody for longer than `LAG_S`: then it is
        enough that the others have it, a gateway among them where no other hub can have one.

        Args:
            refs: With all that they refer to; those that are not in the snapshot are to be gone.
                None: the whole snapshot. Each Envoy is to have what of it is for it.
            timeout_s: How long to wait.

        Raises:
            Nacked: an Envoy refused one of them.
            NotApplied: time is up.
        """
        start = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout_s):
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

    def awaited(self, refs: Collection[Ref]) -> str:
        """Whom `applied` waits for, for people."""
        if self._is_alone and not self.has_gateway:
            return "there is no gateway connected"
        wanted = self.snapshot.closure(refs)
        late = {c.node.id for c in self._connections if c.is_known and c.missing(wanted)}
        ids = ", ".join(sorted(late)[:MAX_NAMED]) or "no Envoy"
        more = f" and {len(late) - MAX_NAMED} more" if len(late) > MAX_NAMED else ""
        return f"waits for Envoys to take it: {ids}{more}"

    def nodes(self) -> tuple[NodeStatus, ...]:
        """The connected Envoys by id."""
        return tuple(
            NodeStatus(c.node, tuple(c.session.lacking()), tuple(self._refusals(c)), c.is_lagging)
            for c in sorted(self._connections, key=lambda c: c.node.id)
        )

    def versions(self) -> tuple[NodeVersions, ...]:
        """What the connected Envoys have, by id; copied, so that it may be read elsewhere."""
        return tuple(
            NodeVersions(c.node, c.session.wanted(), c.session.held())
            for c in sorted(self._connections, key=lambda c: c.node.id)
        )

    def lagging(self, refs: Collection[Ref]) -> dict[Ref, tuple[str, ...]]:
        """The ids of the Envoys, connected or lost, that are late with these or what they need."""
        late: dict[str, set[Ref]] = {}
        for each in (*self._lost.values(), *(c for c in self._connections if c.is_lagging)):
            if missing := each.session.lacking():
                late.setdefault(each.node.id, set()).update(missing)
        if not late:
            return {}
        needed = {ref: self.snapshot.closure([ref]) for ref in refs}
        found = {
            ref: tuple(sorted(id for id, missing in late.items() if not missing.isdisjoint(all_)))
            for ref, all_ in needed.items()
        }
        return {ref: ids for ref, ids in found.items() if ids}

    @property
    def has_gateway(self) -> bool:
        """An Envoy is connected by which clients reach the mesh, and keeps up with changes."""
        return any(_is_gateway(c) and not c.is_lagging for c in self._connections)

    async def changed(self) -> None:
        """Waits until an Envoy connects, takes or refuses something, or goes; or for a snapshot."""
        await self._changed.wait()

    def renew(self) -> None:
        """New secrets for all streams now: the clock jumped by which the old ones are valid."""
        for connection in self._connections:
            if connection.renewal:
                connection.renewal.cancel()
                self._renew(connection)

    def close(self) -> None:
        """Ends all streams; Envoys go on with what they have and connect again."""
        for connection in list(self._connections):
            connection.close()
        self.closing.set()
        self.closing = asyncio.Event()
        for timer in self._lingering.values():
            timer.cancel()
        self._lingering.clear()
        self._lost.clear()

    # ---- for the server

    def connect(self, *, incremental: bool) -> Connection:
        """A new stream, of the incremental or the state-of-the-world variant."""
        connection = Connection(self, Session(incremental=incremental))
        self._connections.append(connection)
        return connection

    def introduce(self, connection: Connection) -> None:
        """The stream's node has told who it is."""
        connection.is_known = True
        self._lost.pop(connection.node.id, None)
        if connection.node.role == SIDECAR:
            connection.session.absent = ABSENT
        self._renew(connection)

    def _renew(self, connection: Connection) -> None:
        """Gives the stream what it is to have, with new secrets, and again before they end."""
        if self._issuer:
            connection.secrets = self._issuer.issue(connection.node)
            loop = asyncio.get_running_loop()
            connection.renewal = loop.call_later(self._issuer.period_s, self._renew, connection)
        self._give(connection)

    def _give(self, connection: Connection) -> None:
        if self._wanted is None:
            return
        mine = self._view(connection.node)
        connection.session.publish(mine.plus(connection.secrets) if connection.secrets else mine)
        connection.wake()

    def forget(self, connection: Connection) -> None:
        """The stream ended."""
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        if connection.is_known:
            id = connection.node.id
            logger.info("the stream of an envoy ended", extra={"node_id": id})
            self._lost[id] = connection
            asyncio.get_running_loop().call_later(LOST_S, self._drop_lost, connection)
        self.notify()

    def _drop_lost(self, connection: Connection) -> None:
        if self._lost.get(connection.node.id) is connection:
            del self._lost[connection.node.id]

    def notify(self) -> None:
        """Wakes those who wait for a snapshot to be applied."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # ---- what lingers

    def retiring(self) -> frozenset[str]:
        """The clusters that are to go when nothing uses them."""
        return frozenset(r.name for r in self._lingering if r.type is ResourceType.CLUSTER)

    def report(self, node_id: str, under_way: Mapping[str, int]) -> None:
        """An Envoy has told how many requests are under way in clusters that are to go."""
        self.loads.report(node_id, under_way, asyncio.get_running_loop().time())

    def _serve(self) -> None:
        self._retire(self.snapshot)
        self._served = self._with_lingering()
        self._views.clear()
        for connection in (*self._connections, *self._lost.values()):
            if connection.is_known:
                self._give(connection)
        self.notify()

    def _view(self, node: Node) -> Snapshot:
        """Envoys of one kind share one object."""
        if node.view not in self._views:
            self._views[node.view] = snapshot_for(self._served, node)
        return self._views[node.view]

    def _retire(self, wanted: Snapshot) -> None:
        for ref in [ref for ref in self._lingering if wanted.get(ref)]:
            self._lingering.pop(ref).cancel()
            del self._retired[ref]
        for ref in find_retiring(self._served, wanted) - self._lingering.keys():
            loop, limit_s = asyncio.get_running_loop(), self._linger_s[ref.type]
            if ref.type is ResourceType.CLUSTER:
                limit_s = min(limit_s, UNUSED_S)
            self._retired[ref] = loop.time()
            self._lingering[ref] = loop.call_later(limit_s, self._drop, ref)

    def _may_go(self, ref: Ref, now: float) -> bool:
        """No Envoy has anything under way in it; one that does not tell has had long enough."""
        if ref.type is not ResourceType.CLUSTER:
            return True
        is_old = now - self._retired[ref] >= self._linger_s[ref.type]
        told = [
            self.loads.under_way(c.node.id, ref.name, now)
            for c in self._connections
            if _is_gateway(c)
        ]
        return all(is_old if count is None else not count for count in told)

    def _drop(self, ref: Ref) -> None:
        loop = asyncio.get_running_loop()
        if not self._may_go(ref, loop.time()):
            self._lingering[ref] = loop.call_later(LOOK_S, self._drop, ref)
            return
        del self._lingering[ref], self._retired[ref]
        self._served = self._with_lingering()
        self._serve()

    def _with_lingering(self) -> Snapshot:
        kept = self._served.closure(self._lingering)
        lingering = [each for ref in kept if (each := self._served.get(ref))]
        return self.snapshot.plus(lingering) if lingering else self.snapshot

    # ---- what became of a snapshot

    def is_applied(self, refs: Collection[Ref] | None, since: float) -> bool:
        """Whether it is as `applied` waits for it, from a time on; raises Nacked as that."""
        wanted = None if refs is None else self.snapshot.closure(refs)
        missing = {c: c.missing(wanted) for c in self._connections if c.is_known}
        took = [c for c, lacks in missing.items() if not lacks]
        if refusals := [r for c in missing for r in self._refusals(c, wanted)]:
            raise Nacked(refusals, [c.node.id for c in took])
        is_served = not self._is_alone or any(map(_is_gateway, took))
        if self._wanted is None or not is_served:
            return False
        late = {c: lacks for c, lacks in missing.items() if lacks and not c.is_lagging}
        if asyncio.get_running_loop().time() < since + LAG_S:
            return not late
        for connection, lacks in late.items():
            connection.late_with = frozenset(lacks)
            extra = {"node_id": connection.node.id, "lacking": _names(lacks)}
            logger.warning("an envoy does not take changes, none waits for it", extra=extra)
        return True

    def _lacking(self, refs: Collection[Ref] | None) -> list[str]:
        return [
            f"{c.node.id}: {ref.type.label} {ref.name}"
            for c in self._connections
            for ref in c.missing(refs)
            if c.is_known
        ]

    def _refusals(
        self, connection: Connection, refs: Collection[Ref] | None = None
    ) -> list[Refusal]:
        node_id = connection.node.id
        return [
            Refusal(node_id, ref.type.label, ref.name, refused.version, refused.message)
            for ref, refused in connection.session.refusals()
            if (self.snapshot.get(ref) if refs is None else ref in refs)
        ]

    def _late(self, refs: Collection[Ref] | None, timeout_s: float) -> NotApplied:
        if self._is_alone and not any(map(_is_gateway, self._connections)):
            return NotApplied(f"no gateway connected within {timeout_s:g} s")
        wanted = None if refs is None else self.snapshot.closure(refs)
        lacking = list(self._lacking(wanted))
        words = ", ".join(lacking[:5]) or "the first snapshot"
        return NotApplied(f"envoy did not take within {timeout_s:g} s: {words}", lacking)


def _is_gateway(connection: Connection) -> bool:
    return connection.is_known and connection.node.role != SIDECAR


def _names(refs: Collection[Ref]) -> str:
    """The first of them, for a log."""
    return ", ".join(f"{ref.type.label} {ref.name}" for ref in sorted(refs)[:5])
