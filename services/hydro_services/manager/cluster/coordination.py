"""What the managers that share a mesh have written in Consul, and who of them is alive."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_services import errors
from hydro_services.consul.agents import Agents, Answer, KvValue
from hydro_services.manager.cluster import records
from hydro_services.manager.cluster.discovery import Discovery
from hydro_services.manager.cluster.records import Record, Report, Reports, VersionedRecord
from hydro_services.manager.domain import transitions
from hydro_services.manager.domain.state import PendingPipeline, State
from hydro_services.manager.engine.reconciler import Reconciler

logger = logging.getLogger(__name__)

PIPELINES = "hydro/pipelines/"
MANAGERS = "hydro/managers/"
MARK = "hydro/mesh"
"""A key that is there for as long as Consul remembers the mesh. Where it is missing, the managers
give back what they know."""
ECHO_S = 10.0
"""How long Consul may take to tell of a change that it has made: a busy machine takes seconds."""
RETRY_S = 0.3
ORPHANED_S = 10.0
"""How long an Envoy whose manager is gone, or hangs, may take to find another."""


class Coordination:
    """Records and reports as this manager sees them; its state has what the records say.

    To be used on the event loop; `follow_records` and `follow_reports` keep it up to date.
    """

    def __init__(self, agents: Agents, reconciler: Reconciler, me: pb.Endpoint) -> None:
        """For this manager, in this incarnation of its process."""
        self.reconciler = reconciler
        self.discovery = Discovery(agents, reconciler)
        self.name = me.instance
        self.owner = f"{me.instance} {me.incarnation}"
        """Of the changes that this manager makes."""
        self.active: Counter[str] = Counter()
        """How many calls of this manager are deleting each pipeline."""
        self.records: Mapping[str, VersionedRecord] = {}
        """By pipeline: what the state has."""
        self.seen = 0
        """Consul's index of the records."""
        self.own_report = Report(me.incarnation)
        """This manager's report, whether Consul has it yet or not."""
        self.written_report = b""
        """This manager's report as Consul has it."""
        self.is_current = False
        """Consul answers."""
        self.changed = asyncio.Event()
        """Set, and replaced by a new one, when something here or in the state changes."""
        self._others: dict[str, Report] = {}
        self._envoys: dict[str, Sequence[str]] = {}
        """Those of each manager, as last reported: a Consul that has lost its memory has none."""
        self._agents = agents
        self._has_begun = asyncio.Event()
        self._has_records = asyncio.Event()

    async def wait_until_begun(self) -> None:
        """Waits until Consul has answered about everything; the state is about to have it."""
        await self._has_begun.wait()
        await self.discovery.has_begun.wait()

    async def wait_until_known(self) -> None:
        """Waits until the state has Consul's records; while Consul is away, what it has must do."""
        while not (self._has_records.is_set() or self._agents.is_away):
            with contextlib.suppress(TimeoutError):
                # An event tells only of records; that Consul has gone is seen by looking again.
                async with asyncio.timeout(RETRY_S):
                    await self._has_records.wait()

    # ---- the records

    def record(self, name: str) -> Record:
        """A pipeline's; an empty one if there is none."""
        versioned = self.records.get(name)
        return versioned.record if versioned else Record()

    def index(self, name: str) -> int:
        """Of a pipeline's record; 0 if there is none."""
        versioned = self.records.get(name)
        return versioned.index if versioned else 0

    async def refresh(self, name: str) -> None:
        """Waits until this manager has a pipeline's record as Consul has it now, or a later one.

        That a pipeline is not there is told only after this: a manager that has just started, or
        that Consul does not reach, may lack what its caller has created at another one.

        Raises:
            errors.Unavailable: Consul does not answer, or has not told of the record in time.
        """
        found = (await self._agents.read(PIPELINES + name)).value.get("")
        end = self.reconciler.clock() + ECHO_S
        try:
            # Not by the record's own index: one that is deleted meanwhile has none any more.
            await self.until(lambda: found is None or self.seen >= found.index, end)
        except TimeoutError:
            message = f"Consul has not told of pipeline {name!r}; try again"
            raise errors.Unavailable(message, pipeline=name) from None

    async def write(self, name: str, wanted: Record | None) -> bool:
        """Writes a record if nobody has changed it; returns when the state has what is there.

        Raises:
            errors.Unavailable: Consul does not answer; it may have been written all the same.
            errors.FailedPrecondition, errors.InvalidArgument: Consul refuses it.
        """
        # A check-and-set on the index under which this manager knows the record: if another has
        # written meanwhile, nothing is written. Then, as after a success, Consul tells of the
        # record that is there. This is answered only once the state has that record, so that the
        # next decision is made on what there is.
        index, body = self.index(name), records.to_json(wanted) if wanted else b""
        try:
            if wanted:
                is_done = await self._agents.put(PIPELINES + name, body, index)
            else:
                is_done = await self._agents.delete(PIPELINES + name, index)
            await self.until(lambda: self.index(name) != index, self.reconciler.clock() + ECHO_S)
        except errors.Unavailable as error:
            message = f"pipeline {name!r} cannot be changed now: {error.message}"
            raise errors.Unavailable(message, pipeline=name) from error
        except TimeoutError:
            message = f"Consul has not shown the change of pipeline {name!r}; try again"
            raise errors.Unavailable(message, pipeline=name) from None
        # The answer to a write may be lost, and the write tried again: then it is there already.
        return is_done or (bool(body) and records.to_json(self.record(name)) == body)

    async def follow_records(self) -> None:
        """Takes them into the state, until cancelled."""
        async for answer in self._agents.follow_values(PIPELINES):
            self.is_current = answer is not None
            if answer is None:
                self.notify()
            else:
                await self._take_records(
                    await self._read_or_restore() if answer.is_fresh else answer
                )

    async def _take_records(self, answer: Answer[dict[str, KvValue]]) -> None:
        # Records whose index has not changed stay the same objects: only a changed one is parsed.
        parsed = {name: self._parse_record(name, value) for name, value in answer.value.items()}
        there = {name: each for name, each in parsed.items() if each}
        pipelines = {n: r.record.pipeline for n, r in there.items() if r.record.pipeline}
        pending_pipelines = {n: r.record.pending for n, r in there.items() if r.record.pending}
        # Before the state has it: the reconciler starts only when this has begun.
        self._has_begun.set()
        # The state first, then the records: a step that follows from a record is taken by a state
        # that knows the record. The reverse would let this manager report what it has not begun.
        event = partial(
            transitions.apply_records, pipelines=pipelines, pending_pipelines=pending_pipelines
        )
        await self.reconciler.apply(event)
        self.records, self.seen = there, answer.index
        self._has_records.set()
        self.notify()

    def _parse_record(self, name: str, value: KvValue) -> VersionedRecord | None:
        old = self.records.get(name)
        if old and old.index == value.index:
            return old
        try:
            record = records.from_json(value.body)
            records.check_name(record, name)
            return VersionedRecord(record, value.index)
        except errors.NewerVersion:
            raise
        except errors.FailedPrecondition as error:
            logger.error("record ignored", extra={"pipeline": name, "error": error.message})
            return old  # what serves is not given up for what nobody can read

    async def _read_or_restore(self) -> Answer[dict[str, KvValue]]:
        """What Consul has; if it has lost its memory, after it has been given what we know."""
        while True:
            try:
                # Consul keeps the mark for as long as it keeps the records: without it Consul has
                # lost its memory, or has never known the mesh. Managers may give back at once: each
                # value is written only where there is none, and the mark last.
                if not await self._is_marked():
                    await self._restore_all()
                # Read after the mark: what was read before may lack what another gave back.
                return await self._agents.read(PIPELINES)
            except errors.NewerVersion:
                raise
            except errors.HydroError:
                await asyncio.sleep(RETRY_S)

    async def _is_marked(self) -> bool:
        """Consul remembers the mesh. Raises NewerVersion: as one of a form to come."""
        mark = (await self._agents.read(MARK)).value.get("")
        if mark:
            with contextlib.suppress(ValueError, AttributeError):  # somebody else's: a mark as any
                records.check_form(json.loads(mark.body))
        return mark is not None

    async def _restore_all(self) -> None:
        state = self.reconciler.state
        given = [name for name in state.names if await self._restore(name, state)]
        await self._agents.put(MARK, b"{}", 0)
        if given:
            logger.warning("Consul had lost pipelines", extra={"pipelines": given})

    async def _restore(self, name: str, state: State) -> bool:
        pipeline, known = state.pipelines.get(name), state.pending.get(name)
        pending = PendingPipeline(known.spec) if known and known.asked else None
        record = Record(pipeline, pending, owner=self.owner if pending else "")
        # Index 0 is Consul's check-and-set for "only if it is not there": what another manager has
        # restored, or a user changed since, is never overwritten.
        return await self._agents.put(PIPELINES + name, records.to_json(record), 0)

    # ---- the reports

    def reports(self) -> Reports:
        """Of all managers that are alive; one that has not reported yet is at the beginning."""
        incarnations = {n: m.endpoint.incarnation for n, m in self.discovery.managers.items()}
        reports = {name: self._report_of(name, i) for name, i in incarnations.items()}
        return reports | {self.name: self.own_report}

    def other_reports(self) -> list[Report]:
        """Those of the other managers."""
        return [each for name, each in self.reports().items() if name != self.name]

    def _report_of(self, name: str, incarnation: str) -> Report:
        report = self._others.get(name)
        # A report of an earlier process says what that one had: the new one begins with nothing.
        return report if report and report.incarnation == incarnation else Report(incarnation)

    def orphans(self) -> set[str]:
        """The Envoys of managers that went lately, which no other manager has yet."""
        # They serve what their manager gave them last, until another manager has them: a deletion
        # is not done while one of them may still have the pipeline.
        # After that time such an Envoy has found another manager, or is dead itself.
        since = self.reconciler.clock() - ORPHANED_S
        lately = {name for name, gone in self.discovery.gone.items() if gone > since}
        left = {id for name in lately & self._envoys.keys() for id in self._envoys[name]}
        return left.difference(*(report.envoys for report in self.reports().values()))

    async def follow_reports(self) -> None:
        """Keeps them as the managers write them, until cancelled."""
        async for answer in self._agents.follow_values(MANAGERS):
            if answer is None:
                continue
            own = answer.value.get(self.name)
            self._others, self.written_report = {}, own.body if own else b""
            for name, value in answer.value.items():
                with contextlib.suppress(errors.FailedPrecondition):
                    self._others[name] = Report.from_json(value.body)
            # Added to, never replaced: a manager that dies takes its report with it, and its Envoys
            # are then still to be waited for, see `orphans`.
            self._envoys |= {name: report.envoys for name, report in self._others.items()}
            self.notify()

    async def write_report(self, body: bytes) -> None:
        """Writes this manager's report.

        Raises:
            errors.HydroError: Consul does not answer or refuses it.
        """
        await self._agents.put(MANAGERS + self.name, body)
        self.written_report = body

    def is_alive(self, owner: str, name: str) -> bool:
        """The manager that owns the change of a pipeline is there; this one: is at it."""
        return self.active[name] > 0 if owner == self.owner else self.is_owner_alive(owner)

    def is_owner_alive(self, owner: str) -> bool:
        """The manager that owns a change is there, or is this one."""
        managers = self.discovery.managers
        alive = {f"{n} {each.endpoint.incarnation}" for n, each in managers.items()}
        return owner == self.owner or owner in alive

    # ---- waiting

    def notify(self) -> None:
        """Something has changed."""
        # A new event first: whoever wakes and waits again waits for the next change, not this one.
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def until(self, condition: Callable[[], bool], end: float) -> None:
        """Waits for a condition of what is known here; raises TimeoutError."""
        async with asyncio.timeout_at(end):
            while not condition():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):  # time alone may change it, too
                        await self.changed.wait()
