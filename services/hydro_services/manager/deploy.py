"""Brings pipelines into the mesh and out of it, and answers when that has happened."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from hydro_envoy.snapshot import Change, diff
from hydro_services import errors
from hydro_services.manager import access, events, plan
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

    async def create(self, spec: Spec, etag: str, limit_s: float | None = None) -> State:
        """Creates or replaces a pipeline; answers when it serves.

        Waits for models that the repository is reading. What fails leaves the pipeline as it was:
        absent, or as it served before. So does cancelling.

        Args:
            spec: what is wanted.
            etag: of the pipeline that is to be there; empty: any.
            limit_s: how long it may take; None: as long as all changes.

        Raises:
            errors.InvalidArgument: the chain cannot be resolved or its columns do not match.
            errors.FailedPrecondition: its callers need API keys, and there are none; the
                repository refuses a model (`errors.ModelRefused`).
            errors.Unavailable: nothing is known of the models or of the services yet, a model is
                still being read at the end, or it could not be stored.
            As the steps of `Ledger`.
        """
        deadline, name = Deadline.after(limit_s or self.limit_s, self.reconciler.clock), spec.name
        async with self._lock(name):
            access.check_keys(spec.policy, self.reconciler.state.api_keys)
            stages = plan.resolved(spec, await self._populated(spec, deadline))
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
        present = await self._populated(spec, self._deadline())
        trial = Trial(spec, plan.resolved(spec, present))
        check_etag(present.pipelines.get(spec.name), spec.name, etag)
        wanted = plan.imagined(events.tried(present, trial))
        return diff(self.reconciler.hub.snapshot, await self.reconciler.build(wanted))

    def _deadline(self) -> Deadline:
        return Deadline.after(self.limit_s, self.reconciler.clock)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _populated(self, spec: Spec, deadline: Deadline) -> State:
        """The state once the chain can be resolved, or why it cannot be will hardly change.

        What nobody has heard of may be about to register, and a model's folder about to be
        noticed: that is waited for with patience. A model that is being read comes, or is refused.
        """

        def is_known(current: State) -> bool:
            error = _unresolved(spec, current)
            return error is None or not _may_come(error)

        def is_read(current: State) -> bool:
            error = _unresolved(spec, current)
            return not (isinstance(error, errors.Unavailable) and "model" in error.metadata)

        with contextlib.suppress(TimeoutError):
            await self.reconciler.until(is_known, min(self.patience_s, deadline.left_s))
        with contextlib.suppress(TimeoutError):
            await self.reconciler.until(is_read, deadline.left_s)
        return self.reconciler.state


def _may_come(error: errors.HydroError) -> bool:
    """Whether it is about a service or a model that may be there in a moment."""
    is_absent = error.metadata.keys() in ({"service"}, {"model"})
    return isinstance(error, errors.Unavailable) or (
        isinstance(error, errors.InvalidArgument) and is_absent
    )


def _unresolved(spec: Spec, present: State) -> errors.HydroError | None:
    """Why a chain cannot be resolved, however that may change."""
    try:
        plan.resolved(spec, present)
    except errors.HydroError as error:
        return error
    return None
