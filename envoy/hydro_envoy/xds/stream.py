"""One stream of an Envoy, between the pump of its messages and the hub. On one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection
from typing import Protocol

from hydro_envoy.nodes import SIDECAR, Node
from hydro_envoy.snapshot import Ref, Resource
from hydro_envoy.xds.messages import Request, Response
from hydro_envoy.xds.session import XdsSession

logger = logging.getLogger(__name__)


class StreamOwner(Protocol):
    """Who has the streams: the hub."""

    nacks: Counter[tuple[str, str]]

    def register_node(self, stream: XdsStream) -> None:
        """The stream's node is known now."""

    def forget(self, stream: XdsStream) -> None:
        """The stream has ended."""

    def notify(self) -> None:
        """Something was acknowledged, refused or asked for."""


class XdsStream:
    """One stream's end at the hub: the pump puts requests in and takes responses out."""

    def __init__(self, owner: StreamOwner, session: XdsSession) -> None:
        self.session = session
        self.node = Node("")
        self.is_known = False
        """Its first request, which has the node, has come."""
        self.secrets: tuple[Resource, ...] = ()
        self.renewal: asyncio.TimerHandle | None = None
        """Of the secrets."""
        self.late_with: frozenset[Ref] = frozenset()
        """What it had not acknowledged `hub.LAG_S` after others began to wait for that."""
        self._owner = owner
        self._wake = asyncio.Event()
        self._closed = False

    @property
    def is_gateway(self) -> bool:
        """Clients reach the mesh by this Envoy."""
        return self.is_known and self.node.role != SIDECAR

    def receive(self, request: Request, node: Node | None = None) -> None:
        """A request from Envoy; the first has the node."""
        if not self.is_known:
            # Before the session sees the request: `register_node` gives the session what this node
            # is to have, so that the first answer has it.
            self.node = node or self.node
            self._owner.register_node(self)
        if request.error is not None:
            fields = {"node_id": self.node.id, "type_url": request.type.url}
            logger.warning("envoy refused resources", extra=fields | {"error": request.error})
            # Counted here: the session forgets a refusal when other content of that name comes.
            self._owner.nacks[self.node.id, request.type.label] += 1
        self.session.receive(request)
        self.wake()
        self._owner.notify()

    async def responses(self) -> AsyncIterator[Response]:
        """What to send, until closed. Cancelling it loses nothing but the stream."""
        while not self._closed:
            for response in self.session.poll():
                yield response
            # No wake is lost: between `poll` and `wait` nothing else runs, unless a yield above let
            # it, and a wake from then leaves the event set.
            await self._wake.wait()
            self._wake.clear()

    def wake(self) -> None:
        """The state changed: there may be something to send."""
        self._wake.set()

    def close(self) -> None:
        """Ends `responses`; the hub forgets the stream. May be called again."""
        # First of all: `forget` may look at this stream, and `responses` must not send to it any
        # more.
        self._closed = True
        if self.renewal:
            self.renewal.cancel()
        self._owner.forget(self)
        self.wake()

    @property
    def is_lagging(self) -> bool:
        """It has still not acknowledged what it is late with."""
        if self.late_with and all(map(self.session.has, self.late_with)):
            self.late_with = frozenset()
        return bool(self.late_with)

    def missing_refs(self, refs: Collection[Ref] | None) -> list[Ref]:
        """Which of these it has not acknowledged as they are now; None: of all that is for it."""
        if refs is None:
            return self.session.missing_refs()
        return [ref for ref in sorted(refs) if not self.session.has(ref)]
