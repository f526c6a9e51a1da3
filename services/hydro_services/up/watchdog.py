"""Kills parts that hang: they run, but answer nobody. The supervisor starts them again.

A part is asked for its health as gRPC has it, which its event loop answers. One that is busy may be
silent too, when a model holds the interpreter; then it uses a CPU, and a hung one does not. It is
given more time, though nobody waits for it: what it works on is run elsewhere by then. One that
would run and gets no CPU is not to blame.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess

from hydro_envoy.address import Address
from hydro_services import client, errors, rpc
from hydro_services.linux import child_pids, cpu_seconds, is_runnable
from hydro_services.up import ready

logger = logging.getLogger(__name__)

CHECK_S = 2.0
HUNG_S = 10.0
"""Nobody waits for this: requests leave a part that says nothing after 2.5 s. But what is killed
loses its models and what it worked on, so that a short stall has to be no reason."""
HELD_S = 30.0
"""The same for a part that uses a CPU: a model that is being loaded may hold the interpreter."""
LATE_S = 2 * (CHECK_S + ready.CALL_S)
"""Between two looks at a part. Longer: the machine slept, or is too busy to tell anything by."""
BUSY_SHARE = 0.05
"""Of a CPU: what uses more works. One that hangs uses none, but for threads that look at clocks."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """What is known of one process of a part."""

    cpu_s: float
    """What it has used of CPUs."""
    answered: bool = False
    """Ever, or it has registered; before that it is starting."""
    silent_s: float = 0.0
    """For how long it has neither answered nor worked."""
    held_s: float = 0.0
    """For how long it has not answered."""

    @property
    def is_hung(self) -> bool:
        """Whether it is to be killed."""
        return self.answered and (self.silent_s >= HUNG_S or self.held_s >= HELD_S)


def next_health(
    before: PartHealth, answers: bool, cpu_s: float, passed_s: float, would_run: bool = False
) -> PartHealth:
    """What is known after one more look.

    Args:
        before: what was known.
        answers: whether it has answered now.
        cpu_s: what it has used of CPUs.
        passed_s: since the last look.
        would_run: it runs now, or is ready to.
    """
    # An answer is worth more than any figure: all counts begin anew.
    if answers:
        return PartHealth(cpu_s, answered=True)
    is_busy = cpu_s - before.cpu_s > BUSY_SHARE * passed_s
    # The machine slept, or had no time to look: nothing is known of what the part did meanwhile.
    if passed_s > LATE_S:
        return PartHealth(cpu_s, before.answered)
    # It would work if it got a CPU: the machine is too busy, which is not the part's fault.
    if would_run and not is_busy:
        return replace(before, cpu_s=cpu_s)
    silent = 0.0 if is_busy else before.silent_s + passed_s
    return PartHealth(cpu_s, before.answered, silent, before.held_s + passed_s)


class Watchdog:
    """Looks at the parts that live, and kills those that hang."""

    def __init__(self, manager: Address, admin_key: str, manager_part: str) -> None:
        """`manager` is where the part of that name listens; it knows where the others do."""
        self._manager = manager
        self._admin_key = admin_key
        self._addresses = {manager_part: manager}
        self._processes: dict[str, tuple[BaseProcess, PartHealth]] = {}
        self._former: dict[str, Address | None] = {}
        """Where parts listened before their present process."""

    @contextlib.contextmanager
    def watch_part(self, part: str, process: BaseProcess) -> Iterator[None]:
        """Looks at the process until the context ends."""
        self._processes[part] = process, PartHealth(0.0)
        # The manager may name the old address until the new process registers: that it does not
        # answer there says nothing.
        self._former[part] = self._addresses.get(part)
        try:
            yield
        finally:
            del self._processes[part]

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Looks until the context ends."""
        task = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _keep_looking(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(CHECK_S)
            # All at once: one that hangs must not make the others look late.
            answers = await self._ask()
            now = time.monotonic()
            # Measured after the answers: what waiting for them took belongs to this look.
            last, passed = now, now - last
            for part, (process, seen) in self._processes.items():
                would_run = any(map(is_runnable, _part_processes(process.pid)))
                health = next_health(seen, part in answers, _cpu_s(process.pid), passed, would_run)
                self._judge(part, process, health)

    def _judge(self, part: str, process: BaseProcess, seen: PartHealth) -> None:
        self._processes[part] = process, seen
        if seen.is_hung:
            extra = {"child": part, "pid": process.pid, "silent_s": round(seen.held_s, 1)}
            logger.warning("part hangs, killed", extra=extra)
            # One that is busy is aborted first, which logs the model that holds it; it is killed if
            # that does not end it.
            if seen.silent_s >= HUNG_S or seen.held_s >= HELD_S + HUNG_S:
                process.kill()
            else:
                _abort_process(process.pid)

    async def _ask(self) -> set[str]:
        """The parts that answer."""
        parts = list(self._processes)
        _, *answers = await asyncio.gather(
            self._refresh_addresses(), *map(self._is_responsive, parts)
        )
        return {part for part, answered in zip(parts, answers, strict=True) if answered}

    async def _is_responsive(self, part: str) -> bool:
        if part not in self._addresses:
            return False
        async with rpc.open_channel(self._addresses[part]) as channel:
            return await ready.answers_health(channel)

    async def _refresh_addresses(self) -> None:
        """Asks the manager where parts listen, which changes with each start."""
        with contextlib.suppress(errors.HydroError, TimeoutError):
            async with rpc.open_channel(self._manager) as channel, asyncio.timeout(ready.CALL_S):
                services = await client.ManagerClient(channel, self._admin_key).list_services()
                addresses = {
                    e.instance: Address.parse(e.address) for s in services for e in s.endpoints
                }
                for part, (process, seen) in self._processes.items():
                    # The address of its former process says nothing: it may be yet to register.
                    if part in addresses and addresses[part] != self._former[part]:
                        self._addresses[part] = addresses[part]
                        self._processes[part] = process, replace(seen, answered=True)


def _part_processes(pid: int | None) -> list[int | None]:
    """Of a part: its process, or its guard and what that guards."""
    return [pid, *child_pids(pid)]


def _cpu_s(pid: int | None) -> float:
    return sum(map(cpu_seconds, _part_processes(pid)))


def _abort_process(pid: int | None) -> None:
    """Ends it in a way that logs which model it was running."""
    for each in (child_pids(pid) or [pid]) if pid else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGABRT)
