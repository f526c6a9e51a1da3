"""Draining: what Envoys keep for a while after it is no longer wanted. Lives on one event loop.

Envoy cuts the ext_proc streams of a cluster that goes, and answers 404 to a request that a policy
route has sent to a scope that went meanwhile. So both are served longer than they are wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from hydro_envoy.snapshot import Ref, ResourceType, Snapshot, find_draining
from hydro_envoy.xds.loads import Loads

DRAIN_S: Mapping[ResourceType, float] = MappingProxyType(
    {ResourceType.CLUSTER: 300.0, ResourceType.SCOPE: 10.0}
)
"""How long Envoy keeps what is not wanted any more: a cluster, because its streams are cut when it
goes; a chain that a policy route led to, because requests are on their way from one to the other.

An Envoy that reports its loads keeps a cluster for as long as something is under way in it."""
UNUSED_S = 60.0
"""A draining cluster is removed after this if no Envoy uses it: no request with a time limit takes
longer to reach a stage."""
CHECK_AGAIN_S = 2.0
"""How often a cluster that is still used is looked at again."""


class DrainingResources:
    """Resources that are still served, with the timers that end that."""

    def __init__(
        self,
        drain_s: Mapping[ResourceType, float],
        gateway_ids: Callable[[], Iterable[str]],
        on_end: Callable[[], None],
    ) -> None:
        """`gateway_ids` are those of the connected gateways; `on_end`: something is drained."""
        self.loads = Loads()
        self._drain_s = drain_s
        self._gateway_ids = gateway_ids
        self._on_end = on_end
        self._timers: dict[Ref, asyncio.TimerHandle] = {}
        self._since: dict[Ref, float] = {}

    def clusters(self) -> frozenset[str]:
        """The draining clusters: they are removed when nothing uses them."""
        return frozenset(r.name for r in self._timers if r.type is ResourceType.CLUSTER)

    def update(self, served: Snapshot, wanted: Snapshot) -> None:
        """Starts timers for what `wanted` no longer has, and stops those of what it has again."""
        # A version that comes back within the time finds its cluster and its connections as they
        # were.
        for ref in [ref for ref in self._timers if wanted.get(ref)]:
            self._timers.pop(ref).cancel()
            del self._since[ref]
        for ref in find_draining(served, wanted) - self._timers.keys():
            loop, limit_s = asyncio.get_running_loop(), self._drain_s[ref.type]
            if ref.type is ResourceType.CLUSTER:
                # Looked at early: then `_is_drained` says whether an Envoy still uses it. Without a
                # report the whole time has to pass.
                limit_s = min(limit_s, UNUSED_S)
            self._since[ref] = loop.time()
            self._timers[ref] = loop.call_later(limit_s, self._end, ref)

    def extend(self, wanted: Snapshot, served: Snapshot) -> Snapshot:
        """What is wanted, and of what is served what is draining, with all that it refers to."""
        # With what it refers to: a cluster without its endpoints would answer nothing.
        refs = served.closure(self._timers)
        draining = [each for ref in refs if (each := served.get(ref))]
        return wanted.plus(draining) if draining else wanted

    def close(self) -> None:
        """Stops all timers; what was draining stays served."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._since.clear()

    def _end(self, ref: Ref) -> None:
        loop = asyncio.get_running_loop()
        if not self._is_drained(ref, loop.time()):
            # Reports come once a second, and `Loads` trusts none that is older than ten.
            self._timers[ref] = loop.call_later(CHECK_AGAIN_S, self._end, ref)
            return
        del self._timers[ref], self._since[ref]
        self._on_end()

    def _is_drained(self, ref: Ref, now: float) -> bool:
        """No Envoy has anything under way in it; one that does not tell has had long enough."""
        if ref.type is not ResourceType.CLUSTER:
            return True
        is_old = now - self._since[ref] >= self._drain_s[ref.type]
        # Of all connected gateways: one that still has a stream is enough to keep it for all, since
        # they get the same snapshot.
        counts = [self.loads.under_way(id, ref.name, now) for id in self._gateway_ids()]
        return all(is_old if count is None else not count for count in counts)
