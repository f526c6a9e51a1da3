"""What is run again: how many forks it takes, who waits for it, and that no answer is lost."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Columns, DataType, Dense
from hydro_runtimes.evaluator import Evaluation, Field, Signature
from hydro_services.codecs.row_groups import MAX_ROWS
from hydro_services.runtime import fork, offload
from hydro_services.runtime.batch import Batcher
from hydro_services.runtime.offload import CodecThread, DecodableInput
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.worker import Worker

ENDS, STAYS = 13.0, 14.0
HERE = os.getpid()


class Unsendable(Evaluation):
    """Cannot leave the process."""

    def __reduce__(self) -> str:
        raise TypeError


class Pid:
    """Tells which process has evaluated; ends it, or answers what cannot leave it."""

    signature = Signature((Field("x", DataType.FLOAT64),), (Field("pid", DataType.INT64),))

    def evaluate(self, inputs: Columns) -> Evaluation:
        column = inputs["x"]
        assert isinstance(column, Dense)
        if ENDS in column.values:
            os.abort()
        kind = Unsendable if STAYS in column.values else Evaluation
        return kind({"pid": Dense(np.full(inputs.rows, os.getpid()))})


def xs(*values: float) -> Columns:
    return Columns({"x": Dense(np.array(values, np.float64))})


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of calls that each fork was made for."""
    made: list[int] = []
    begin = fork.Fork.__init__

    def noted(self: Any, calls: Sequence[Callable[[], object]]) -> None:
        made.append(len(calls))
        begin(self, calls)

    monkeypatch.setattr(fork.Fork, "__init__", noted)
    return made


CALLS = st.lists(
    st.lists(st.sampled_from([1.0, 2.0, ENDS, STAYS]), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)
"""Of each call the frames, of one row each."""


@pytest.mark.slow
async def test_all_that_wait_share_a_fork_but_for_what_ends_it(
    forks: list[int],
) -> None:
    @settings(max_examples=12, deadline=None)
    @given(CALLS)
    def check(calls: list[list[float]]) -> None:
        forks.clear()
        found = asyncio.run(run_again(calls))
        for values, answers in zip(calls, found, strict=True):
            assert [bool(each.failures) for each in answers] == [v == ENDS for v in values]
            assert [HERE in pids(each) for each in answers] == [v == STAYS for v in values]
        frames = [value for values in calls for value in values]
        alone = [value in (ENDS, STAYS) for value in frames]
        assert len(forks) == sum(alone) + (not alone[-1])

    await asyncio.to_thread(check)


async def run_again(calls: Sequence[Sequence[float]]) -> list[list[Evaluation]]:
    batcher = Batcher(Pid(), Worker("model"))
    frames = [[xs(value) for value in values] for values in calls]
    return await asyncio.gather(*[batcher.evaluate(each, is_rerun=True) for each in frames])


def pids(answer: Evaluation) -> list[int]:
    column = answer.outputs.get("pid")
    assert column is None or isinstance(column, Dense)
    return [] if column is None else column.values.tolist()


async def test_other_rows_of_the_model_do_not_wait_for_a_fork(tmp_path: Any) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    class Gated(Pid):
        def evaluate(self, inputs: Columns) -> Evaluation:
            if os.getpid() != HERE:
                gate.read_bytes()
            return super().evaluate(inputs)

    batcher = Batcher(Gated(), Worker("model"))
    again = asyncio.create_task(batcher.evaluate([xs(1, 2)], is_rerun=True))
    await asyncio.sleep(0)
    for _ in range(3):
        (answer,) = await batcher.evaluate([xs(3)])
        assert pids(answer) == [HERE]
    assert not again.done()
    writer = await asyncio.to_thread(gate.open, "w")
    writer.close()
    assert HERE not in pids((await again)[0])


async def test_a_model_that_needs_its_threads_is_found_out_once(
    forks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Threaded(Pid):
        def evaluate(self, inputs: Columns) -> Evaluation:
            if os.getpid() != HERE:
                threading.Event().wait()
            return super().evaluate(inputs)

    monkeypatch.setattr(fork, "IDLE_S", 0.5)
    batcher = Batcher(Threaded(), Worker("model"))
    for count in (3, 2):
        answers = await batcher.evaluate([xs(n) for n in range(count)], is_rerun=True)
        assert [pids(each) for each in answers] == [[HERE]] * count
    assert forks == [3]


async def test_who_leaves_takes_no_answer_from_others(forks: list[int]) -> None:
    batcher = Batcher(Pid(), Worker("model"))
    calls = [asyncio.create_task(batcher.evaluate([xs(n)], is_rerun=True)) for n in (1, ENDS, 2)]
    await asyncio.sleep(0)
    calls[1].cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [False, True, False]
    assert batcher.waiting_rows == 0


async def test_rows_of_a_large_body_that_are_run_again_take_few_forks(forks: list[int]) -> None:
    frames = 200
    batcher, codecs = Batcher(Pid(), Worker("model")), CodecThread()
    decodable = DecodableInput(iter(works(frames)), 30 << 20)
    answered = 0
    async for part, _ in codecs.read_portions(decodable, is_rerun=True):
        found = await batcher.evaluate([each.inputs for each in part], is_rerun=True)
        answered += sum(len(pids(each)) for each in found)
    assert answered == frames * MAX_ROWS
    assert len(forks) == -(-frames * MAX_ROWS // offload.RERUN_ROWS)


def works(count: int, rows: int = MAX_ROWS) -> Iterator[FrameInStage]:
    for _ in range(count):
        yield FrameInStage(pb.Frame(table=pb.Table(rows=rows)), xs(*[1.0] * rows))


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 3 * MAX_ROWS)), max_size=30),
    st.integers(1, 8).map(lambda number: number * MAX_ROWS),
)
def test_portions_have_all_frames_in_order_and_steps_are_short(
    sizes: list[int | None], most: int
) -> None:
    frames = [
        None if n is None else FrameInStage(pb.Frame(table=pb.Table(rows=n)), xs()) for n in sizes
    ]
    taken: list[FrameInStage] = []
    step = 0

    def source() -> Iterator[FrameInStage | None]:
        nonlocal step
        for each in frames:
            assert step < MAX_ROWS, "others had no turn"
            step = 0 if each is None else step + max(each.frame.table.rows, 1)
            yield each

    for portion in offload.split_portions(source(), most):
        step = 0
        taken += portion
        before = portion[:-1]
        assert sum(max(each.frame.table.rows, 1) for each in before) < most
    assert taken == [each for each in frames if each]
