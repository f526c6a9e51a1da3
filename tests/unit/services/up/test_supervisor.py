from __future__ import annotations

import asyncio
import logging

import pytest

from hydro_services.errors import NewerVersion
from hydro_services.up.supervisor import Part, keep_serving, next_delay, supervise


class Stop(Exception):
    """Ends `keep_serving` from the injected sleep."""


class Clock:
    """Time that passes only in `live` and `sleep`; ends after a number of sleeps."""

    def __init__(self, sleeps: int) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.sleeps = sleeps

    def __call__(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(round(delay_s, 3))
        self.now += delay_s
        if len(self.slept) == self.sleeps:
            raise Stop


async def delays_of(lives_s: list[float]) -> list[float]:
    clock, lives = Clock(len(lives_s)), iter(lives_s)

    async def serve() -> None:
        clock.now += next(lives)
        raise RuntimeError("broke")

    with pytest.raises(Stop):
        await keep_serving(Part("part", serve), clock, clock.sleep)
    return clock.slept


async def test_first_restart_is_at_once_and_the_next_wait_ever_longer() -> None:
    assert await delays_of([0.0] * 9) == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2]


async def test_a_healthy_life_makes_the_next_restart_the_first_again() -> None:
    assert await delays_of([0, 0, 0, 10, 0]) == [0, 0.1, 0.2, 0, 0.1]


@pytest.mark.parametrize(
    ("previous_s", "uptime_s", "delay_s"),
    [
        pytest.param(None, 0.0, 0.0, id="the first run"),
        pytest.param(0.0, 9.9, 0.1, id="a short run"),
        pytest.param(2.0, 0.0, 2.0, id="no more than two seconds"),
        pytest.param(2.0, 10.0, 0.0, id="a healthy run"),
    ],
)
def test_delay_follows_the_previous_one(
    previous_s: float | None, uptime_s: float, delay_s: float
) -> None:
    assert next_delay(previous_s, uptime_s) == delay_s


async def test_the_log_says_why_a_part_ended(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await delays_of([0.0])
    assert [vars(record)["error"] for record in caplog.records] == ["broke"]


async def test_groups_stop_in_order_and_each_part_may_drain() -> None:
    events: list[str] = []
    started = asyncio.Barrier(5)

    def part(name: str) -> Part:
        async def serve() -> None:
            try:
                await started.wait()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                events.append(name)

        return Part(name, serve)

    async with supervise([[part("envoy")], [part("a"), part("b")], [part("manager")]]):
        await started.wait()
    assert (events[0], set(events[1:3]), events[3]) == ("envoy", {"a", "b"}, "manager")


async def test_a_part_that_fails_to_drain_is_not_started_again() -> None:
    starts = 0
    started = asyncio.Event()

    async def serve() -> None:
        nonlocal starts
        starts += 1
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("broke while draining")

    async with supervise([[Part("part", serve)]]):
        await started.wait()
    assert starts == 1


async def test_a_part_that_would_end_each_time_stops_all_once() -> None:
    starts = drained = 0

    async def hopeless() -> None:
        nonlocal starts
        starts += 1
        raise NewerVersion("of a newer version")

    async def other() -> None:
        nonlocal drained
        try:
            await asyncio.Event().wait()
        finally:
            drained += 1

    with pytest.raises(NewerVersion, match="of a newer version"):
        async with supervise([[Part("other", other)], [Part("hopeless", hopeless)]]):
            await asyncio.Event().wait()
    assert (starts, drained) == (1, 1)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_part_that_ends_so_while_all_stop_keeps_no_other_from_draining() -> None:
    drained: list[str] = []
    started = asyncio.Barrier(3)

    def part(name: str) -> Part:
        async def serve() -> None:
            try:
                await started.wait()
                await asyncio.Event().wait()
            finally:
                drained.append(name)
                if name == "a":
                    raise NewerVersion("too late to matter")

        return Part(name, serve)

    async with supervise([[part("a")], [part("b")]]):
        await started.wait()
    assert drained == ["a", "b"]
