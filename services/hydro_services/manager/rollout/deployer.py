"""Brings pipelines into the mesh and out of it, and answers when that has happened."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakValueDictionary

from hydro_envoy.snapshot import ResourceChange, diff
from hydro_services import errors
from hydro_services.manager.domain import access, readiness, resolution, transitions
from hydro_services.manager.domain.state import PendingPipeline, Spec, State, newest_spec
from hydro_services.manager.engine.reconciler import Reconciler
from hydro_services.manager.rollout.executor import TURN_S, Deadline, RolloutExecutor, check_etag


@dataclass(frozen=True, slots=True)
class Deployer:
    """Creates, replaces and deletes pipelines; those of one name in turn, unless one is slow."""

    reconciler: Reconciler
    executor: RolloutExecutor
    limit_s: float
    """How long it may take until a pipeline serves, or is gone."""
    patience_s: float
    """How long to wait for a service or a repository that has not registered yet."""
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """By pipeline: held by who changes it."""
    _waiting: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many wait for what is pending, by name and etag."""

    async def create(self, spec: Spec, etag: str, limit_s: float | None = None) -> State:
        """Creates or replaces a pipeline; answers when it serves.

        It is pending as soon as its models are there or are being read, and then comes to serve by
        itself: cancelling, or the end of the time, ends only the waiting. If it fails while a
        caller waits, the caller is told and the pipeline is as before: absent, or serving what it
        served. If it fails later, it shows why.

        Args:
            spec: what is wanted.
            etag: of what was asked for last; empty: any.
            limit_s: how long to wait; None: as long as all changes.

        Raises:
            errors.InvalidArgument: the chain cannot be resolved or its columns do not match.
            errors.FailedPrecondition: its callers need API keys, and there are none; the
                repository or a runtime refuses a model (`errors.ModelRefused`), or an Envoy the
                configuration (`errors.EnvoyRefused`).
            errors.Unavailable: nothing is known of the models or of the services yet, or it could
                not be stored.
            errors.Aborted: something else was asked for meanwhile, or the etag is another.
            errors.NotInTime: it is pending; the message says what it waits for.
        """
        deadline = Deadline.after(limit_s or self.limit_s, self.reconciler.clock)
        # Changes of one pipeline go one after the other, those of others beside them.
        async with self._take_turn(spec.name, deadline):
            access.check_api_keys(spec.policy, self.reconciler.state.api_keys)
            error = _resolution_error(spec, await self._wait_until_resolvable(spec, deadline))
            if error and not _is_being_read(error):
                raise error
            # Counted before it is wanted: if it fails at once, the last of those who wait for the
            # same gives it up, and all of them hear why.
            self._waiting[spec.name, spec.etag] += 1
            try:
                await self.executor.want(spec, etag, deadline)
                return await self._wait_until_decided(spec, deadline)
            finally:
                self._waiting[spec.name, spec.etag] -= 1

    async def _wait_until_decided(self, spec: Spec, deadline: Deadline) -> State:
        """Waits until a pending pipeline serves; see `create`."""
        with contextlib.suppress(TimeoutError):
            await self.reconciler.until(partial(_is_decided, spec), deadline.left_s)
        current = self.reconciler.state
        if not _is_decided(spec, current):
            raise _late_error(spec, current, deadline)
        error = _find_failure(spec, current)
        if error is None:
            return await self.executor.wait_until_seen()
        # Given up by the last of them: earlier, the pending pipeline would be gone before the
        # others have looked at why.
        if self._waiting[spec.name, spec.etag] == 1:  # who asks for the same is to hear it, too
            await self.executor.give_up(spec, error)
        raise error

    @contextlib.asynccontextmanager
    async def _take_turn(self, name: str, deadline: Deadline) -> AsyncIterator[None]:
        """After the changes of a pipeline that are under way here, if they are soon done.

        One that takes longer, as its models do, is overtaken.
        """
        while True:
            # Weak values: the lock is there for as long as somebody holds it or waits, and no list
            # of names that were ever used grows.
            lock = self._turns.setdefault(name, asyncio.Lock())
            try:
                async with asyncio.timeout(min(TURN_S, deadline.left_s / 2)):
                    await lock.acquire()
                break
            except TimeoutError:
                # Whoever comes next does not queue behind the slow change either. Of several that
                # overtake it, the first makes the new lock, and the others find it.
                if self._turns.get(name) is lock:
                    self._turns[name] = asyncio.Lock()
        try:
            yield
        finally:
            lock.release()

    async def delete(self, name: str) -> None:
        """Deletes a pipeline, pending or not; answers when no new request reaches it.

        Raises:
            As `RolloutExecutor.delete`.
        """
        deadline = self._deadline()
        async with self._take_turn(name, deadline):
            await self.executor.delete(name, deadline)

    async def plan(self, spec: Spec, etag: str) -> tuple[ResourceChange, ...]:
        """What creating the pipeline would change in Envoy.

        Raises:
            errors.InvalidArgument, errors.Aborted, errors.FailedPrecondition,
                errors.Unavailable: as `create`.
        """
        access.check_api_keys(spec.policy, self.reconciler.state.api_keys)
        deadline = self._deadline()
        await self._wait_until_resolvable(spec, deadline)
        present = await self._wait_until_read(spec, deadline)
        pending = PendingPipeline(spec, resolution.resolve_spec(spec, present))
        newest = newest_spec(present.pipelines.get(spec.name), present.pending.get(spec.name))
        check_etag(newest, spec.name, etag)
        wanted = resolution.assume_loaded(transitions.start_pending(present, pending))
        return diff(self.reconciler.hub.snapshot, await self.reconciler.build(wanted))

    def _deadline(self) -> Deadline:
        return Deadline.after(self.limit_s, self.reconciler.clock)

    async def _wait_until_resolvable(self, spec: Spec, deadline: Deadline) -> State:
        """The state once the chain can be resolved, or why it cannot be will hardly change soon.

        What nobody has heard of may be about to register, and a model's folder about to be
        noticed: that is waited for with patience.
        """

        def is_known(current: State) -> bool:
            error = _resolution_error(spec, current)
            return error is None or not _may_come(error)

        with contextlib.suppress(TimeoutError):
            await self.reconciler.until(is_known, min(self.patience_s, deadline.left_s))
        return self.reconciler.state

    async def _wait_until_read(self, spec: Spec, deadline: Deadline) -> State:
        """The state when no model is being read that a chain needs, or the time is up."""

        def is_read(current: State) -> bool:
            error = _resolution_error(spec, current)
            return error is None or not _is_being_read(error)

        with contextlib.suppress(TimeoutError):
            await self.reconciler.until(is_read, deadline.left_s)
        return self.reconciler.state


def _is_decided(spec: Spec, current: State) -> bool:
    """Whether a pipeline that was asked for serves, or has failed."""
    error = _find_failure(spec, current)
    return error is None or not readiness.is_passing(error)


def _find_failure(spec: Spec, current: State) -> errors.HydroError | None:
    """Why a pipeline that was asked for does not serve, or not yet."""
    pending = current.pending.get(spec.name)
    if pending and pending.spec == spec:
        return readiness.describe_blocker(pending, current, readiness.ready_endpoints(current))
    kept = current.pipelines.get(spec.name)
    if kept and kept.spec == spec:
        return None
    what = "was replaced" if pending or kept else "was deleted"
    return errors.Aborted(f"pipeline {spec.name!r} {what} by somebody else before it was ready")


def _late_error(spec: Spec, current: State, deadline: Deadline) -> errors.NotInTime:
    """A pipeline is pending still."""
    name, why = spec.name, _find_failure(spec, current) or errors.Unavailable("")
    until_then = " (until then what was there serves)" if name in current.pipelines else ""
    way_out = (
        f"it stays PENDING and becomes ready by itself{until_then}; look with "
        f"`hydro pipelines get {name}` or GET /api/v1/pipelines/{name}, apply it again to wait"
    )
    message = f"pipeline {name!r} does not serve after {deadline.limit_s:g} s: {why.message}"
    return errors.NotInTime(f"{message}; {way_out}", **{**why.metadata, "pipeline": name})


def _is_being_read(error: errors.HydroError) -> bool:
    """Whether it is about a model that the repository will tell of."""
    return isinstance(error, errors.Unavailable) and "stage" in error.metadata


def _may_come(error: errors.HydroError) -> bool:
    """Whether it is about a service or a model that may be there in a moment."""
    is_absent = error.metadata.keys() in ({"service"}, {"model"})
    return (isinstance(error, errors.Unavailable) and not _is_being_read(error)) or (
        isinstance(error, errors.InvalidArgument) and is_absent
    )


def _resolution_error(spec: Spec, present: State) -> errors.HydroError | None:
    """Why a chain cannot be resolved, however that may change."""
    try:
        resolution.resolve_spec(spec, present)
    except errors.HydroError as error:
        return error
    return None
