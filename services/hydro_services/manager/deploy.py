"""Brings pipelines into the mesh and out of it, and answers when that has happened."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from hydro_envoy.snapshot import Change, diff
from hydro_services import errors
from hydro_services.manager import access, chain, events, plan
from hydro_services.manager.ledger import Deadline, Ledger, check_etag
from hydro_services.manager.reconcile import Reconciler
from hydro_services.manager.state import Spec, State, Trial


@dataclass(frozen=True, slots=True)
class Deployer:
    """Creates, replaces and deletes pipelines, those of one name one after the other."""

    reconciler: Reconciler
    ledger: Ledger
    limit_s: float
    """How long it may take until a pipeline serves, or is gone."""
    patience_s: float
    """How long to wait for a service or a repository that has not registered yet."""
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def create(self, spec: Spec, etag: str) -> State:
        """Creates or replaces a pipeline; answers when it serves.

        What fails leaves the pipeline as it was: absent, or as it served before. So does
        cancelling.

        Raises:
            errors.InvalidArgument: the chain cannot be resolved or its columns do not match.
            errors.FailedPrecondition: its callers need API keys, and there are none.
            errors.Unavailable: there is no repository, or it could not be stored.
            As the steps of `Ledger`.
        """
        deadline, name = self._deadline(), spec.name
        async with self._lock(name):
            access.check_keys(spec.policy, self.reconciler.state.api_keys)
            stages = plan.resolved(spec, await self._populated(spec))
            await self.ledger.begin(Trial(spec, stages), etag, deadline)
            try:
                await self.ledger.published(name, stages, deadline)
                await self.ledger.applied(name, deadline)
                return await self.ledger.keep(name)
            except BaseException:
                self.ledger.withdraw(name)
                raise

    async def delete(self, name: str) -> None:
        """Deletes a pipeline; answers when no new request reaches it.

        Raises:
            As `Ledger.delete`.
        """
        deadline = self._deadline()
        async with self._lock(name):
            await self.ledger.delete(name, deadline)

    async def plan(self, spec: Spec, etag: str) -> tuple[Change, ...]:
        """What creating the pipeline would change in Envoy.

        Raises:
            errors.InvalidArgument, errors.Aborted, errors.FailedPrecondition,
                errors.Unavailable: as `create`.
        """
        access.check_keys(spec.policy, self.reconciler.state.api_keys)
        present = await self._populated(spec)
        trial = Trial(spec, plan.resolved(spec, present))
        check_etag(present.pipelines.get(spec.name), spec.name, etag)
        wanted = plan.imagined(events.tried(present, trial))
        return diff(self.reconciler.hub.snapshot, await self.reconciler.build(wanted))

    def _deadline(self) -> Deadline:
        return Deadline.after(self.limit_s, self.reconciler.clock)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _populated(self, spec: Spec) -> State:
        """The state, as soon as there are the services of the chain and a repository."""
        references = chain.references(spec)

        def is_populated(current: State) -> bool:
            has_services = not chain.absent(references, current.services)
            return has_services and current.catalogue is not None

        with contextlib.suppress(TimeoutError):
            await self.reconciler.until(is_populated, self.patience_s)
        present = self.reconciler.state
        if present.catalogue is None and not chain.absent(references, present.services):
            raise errors.Unavailable("no repository has registered; start it and try again")
        return present
