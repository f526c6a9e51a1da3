"""Follows Consul's catalogue: healthy endpoints become state, healthy managers are known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial

from hydro_services.consul import services
from hydro_services.consul.agents import Agents
from hydro_services.consul.services import Instance
from hydro_services.errors import InvalidArgument
from hydro_services.manager.domain import conversion, endpoint_transitions, sidecars
from hydro_services.manager.domain.state import Endpoint, EndpointId
from hydro_services.manager.engine.reconciler import Reconciler

logger = logging.getLogger(__name__)

MANAGER = "manager"
"""The name under which managers register."""
SETTLE_S = 5.0
"""How long parts may take to register again with a Consul that comes back without them, and how
long one stays that Consul thinks ill. Machines that were cut off call all others dead when they are
back, which those deny within a second or two; meanwhile Envoy sees for itself who answers."""


class Discovery:
    """Endpoints and managers as Consul's health checks see them."""

    def __init__(self, agents: Agents, reconciler: Reconciler) -> None:
        self.has_begun = asyncio.Event()
        """Consul has answered for the first time; the state is about to have it."""
        self.managers: Mapping[str, Instance] = {}
        """The healthy ones, by instance."""
        self.gone: dict[str, float] = {}
        """Since when managers are gone that were healthy."""
        self._agents = agents
        self._reconciler = reconciler
        self._settled_at = 0.0
        self._malformed: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        await services.watch_instances(self._agents, self._take_instances)

    async def _take_instances(self, found: Mapping[str, Instance], is_fresh: bool) -> None:
        now = self._reconciler.clock()
        if is_fresh:
            # Consul has just come back and may not have been told of all parts again: those that
            # are missing stay for a while.
            self._settled_at = now + SETTLE_S
        well = [instance for instance in found.values() if instance.passing]
        # Since when each manager is gone says for how long its Envoys are waited for; see
        # `Coordination.orphans`.
        before = self.managers
        self.managers = {e.endpoint.instance: e for e in well if e.endpoint.service == MANAGER}
        # Noted at the first answer without them: Consul itself does not say since when.
        self.gone |= dict.fromkeys(before.keys() - self.managers.keys(), now)
        # Back before its Envoys were given up: it has them, or will say which it has.
        for name in self.gone.keys() & self.managers.keys():
            del self.gone[name]
        parts = [self._parse_endpoint(each) for each in well if each.endpoint.service != MANAGER]
        endpoints = [each for each in parts if each]
        ill = (each.endpoint for each in found.values() if not each.passing)
        # A process that only Consul thinks ill keeps its place for a moment: where agents were cut
        # off from each other they call everybody dead, and routes would go for nothing.
        ill_until = {EndpointId(each.service, each.instance): now + SETTLE_S for each in ill}
        gone_at = self._settled_at if now < self._settled_at else None
        # Before the state has it: the reconciler starts only when this has begun.
        self.has_begun.set()
        await self._reconciler.apply(
            partial(
                endpoint_transitions.apply_discovery,
                endpoints=endpoints,
                ill_until=ill_until,
                gone_at=gone_at,
            )
        )

    def _parse_endpoint(self, instance: Instance) -> Endpoint | None:
        """The endpoint; one that is malformed is left out and logged once."""
        id = services.service_id(instance.endpoint)
        try:
            endpoint = conversion.parse_endpoint(instance.endpoint)
            sidecars.check_sidecar(endpoint, has_sidecars=self._reconciler.has_sidecars)
            return endpoint
        except InvalidArgument as error:
            if self._malformed.get(id) != error.message:
                extra = {"service": instance.endpoint.service, "error": error.message}
                extra["instance"] = instance.endpoint.instance
                logger.warning("endpoint left out", extra=extra)
            self._malformed[id] = error.message
            return None
