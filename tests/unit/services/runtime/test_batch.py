"""Which rows are evaluated together, where, and what a model's faults cost."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydro_runtimes.columns import Columns, DataType, Dense
from hydro_runtimes.evaluator import Evaluation, Failure, Field, Signature
from hydro_services.runtime.batch import INLINE_S, LATE_S, MAX_ROWS, Batcher
from hydro_services.runtime.evaluation import evaluate
from hydro_services.runtime.worker import Worker


class Clock:
    """Time passes only where a model says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Square:
    """x * x; does what the test says with rows of its choice."""

    cost: Callable[[int], float] = lambda rows: 0.0
    clock: Clock = field(default_factory=Clock)
    gate: threading.Event = field(default_factory=threading.Event)
    on: Callable[[Columns], Evaluation | None] = lambda columns: None
    calls: list[tuple[int, str]] = field(default_factory=list)
    """Rows and thread of each evaluation."""
    signature = Signature((Field("x", DataType.FLOAT64),), (Field("y", DataType.FLOAT64),))

    def __post_init__(self) -> None:
        self.gate.set()

    def evaluate(self, columns: Columns) -> Evaluation:
        self.calls.append((columns.rows, threading.current_thread().name))
        assert self.gate.wait(10)
        self.clock.now += self.cost(columns.rows)
        return self.on(columns) or squares(columns)

    @property
    def rows(self) -> list[int]:
        return [rows for rows, _ in self.calls]

    @property
    def threads(self) -> list[str]:
        return [thread for _, thread in self.calls]


def xs(*values: float, dtype: Any = np.float64) -> Columns:
    return Columns({"x": Dense(np.array(values, dtype))})


def values(columns: Columns) -> list[float]:
    column = columns["x"]
    assert isinstance(column, Dense)
    return [float(value) for value in column.values]


def squares(columns: Columns) -> Evaluation:
    return Evaluation({"y": Dense(np.array([x * x for x in values(columns)]))})


def answers(evaluation: Evaluation) -> list[float]:
    if not evaluation.outputs:
        return []
    column = evaluation.outputs["y"]
    assert isinstance(column, Dense)
    return [float(value) for value in column.values]


def raising(*bad: float) -> Callable[[Columns], None]:
    def check(columns: Columns) -> None:
        found = set(values(columns)) & set(bad)
        if found:
            raise RuntimeError(f"cannot do {sorted(found)}")

    return check


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # other threads make it so
            await asyncio.sleep(0.001)


def batcher(model: Square, executor: Executor | None = None) -> Batcher:
    return Batcher(model, executor or Worker("worker"), model.clock)


async def quick(model: Square) -> Batcher:
    """A batcher that knows its model as quick, and so evaluates on the loop."""
    target = batcher(model)
    while not model.threads or model.threads[-1] == "worker":
        await target.evaluate([xs(1)])
    model.calls.clear()
    return target


# Together and in order


async def test_rows_that_wait_while_the_model_is_busy_are_evaluated_together() -> None:
    model = Square()
    model.gate.clear()
    target = batcher(model)
    first = asyncio.create_task(target.evaluate([xs(1)]))
    await until(lambda: model.calls)
    rest = [asyncio.create_task(target.evaluate([xs(i, i + 0.5)])) for i in range(2, 12)]
    await turns()
    model.gate.set()
    found = await asyncio.gather(first, *rest)
    assert model.rows == [1, 20]
    assert [answers(one) for (one,) in found[1:]] == [[i * i, (i + 0.5) ** 2] for i in range(2, 12)]


async def test_calls_of_one_turn_of_the_loop_are_evaluated_together() -> None:
    model = Square()
    target = await quick(model)
    await asyncio.gather(*(target.evaluate([xs(i)]) for i in range(5)))
    assert model.rows == [5]


async def test_several_inputs_of_a_call_are_answered_in_order() -> None:
    found = await batcher(Square()).evaluate([xs(1, 2), xs(), xs(3)])
    assert [answers(each) for each in found] == [[1, 4], [], [9]]


async def test_no_more_than_the_limit_is_evaluated_together() -> None:
    model = Square()
    model.gate.clear()
    target = batcher(model)
    sizes = [1, MAX_ROWS - 1, 1, 1, MAX_ROWS, 2]
    tasks = [asyncio.create_task(target.evaluate([xs(*range(n))])) for n in sizes[:1]]
    await until(lambda: model.calls)
    tasks += [asyncio.create_task(target.evaluate([xs(*range(n))])) for n in sizes[1:]]
    await turns()
    model.gate.set()
    await asyncio.gather(*tasks)
    assert model.rows == [1, MAX_ROWS, 1, MAX_ROWS, 2]


async def test_rows_of_others_have_their_turn_between_the_pieces_of_a_large_frame() -> None:
    model = Square()
    model.gate.clear()
    target = batcher(model)
    large = asyncio.create_task(target.evaluate([xs(*range(3 * MAX_ROWS + 5))]))
    await until(lambda: model.calls)
    small = asyncio.create_task(target.evaluate([xs(7)]))
    await turns()
    model.gate.set()
    (answer,) = await small
    assert answers(answer) == [49]
    assert not large.done()
    (answer,) = await large
    assert answers(answer) == [float(x) * x for x in range(3 * MAX_ROWS + 5)]
    assert model.rows == [MAX_ROWS, 1, MAX_ROWS, MAX_ROWS, 5]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3 * MAX_ROWS), max_size=6), st.booleans())
def test_a_large_frame_is_answered_as_its_rows_are(bad: list[int], raises: bool) -> None:
    rows = 3 * MAX_ROWS + 1

    def fails(columns: Columns) -> Evaluation | None:
        given = values(columns)
        found = [place for place, x in enumerate(given) if x in bad]
        if raises and found:
            raise RuntimeError("cannot do it")
        well = np.array([x * x for x in given if x not in bad])
        return Evaluation({"y": Dense(well)}, {place: Failure("BAD", "is bad") for place in found})

    async def asked() -> Evaluation:
        (answer,) = await batcher(Square(on=fails)).evaluate([xs(*range(rows))])
        return answer

    answer = asyncio.run(asked())
    assert sorted(answer.failures) == sorted({*bad})
    assert answers(answer) == [float(x) * x for x in range(rows) if x not in bad]


def test_inputs_of_other_forms_are_evaluated_apart() -> None:
    model = Square()
    found = evaluate(model, [xs(1), xs(2), xs(3, dtype=np.float32), xs(4)])
    assert [answers(each) for each in found] == [[1], [4], [9], [16]]
    assert model.rows == [2, 1, 1]


# Faults of models


@pytest.mark.parametrize("bad", [{3}, {0}, {9}, {0, 9}, {2, 3, 4}, set(range(10))])
def test_model_that_raises_on_a_row_costs_that_row_only(bad: set[int]) -> None:
    model = Square(on=raising(*bad))
    (found,) = evaluate(model, [xs(*range(10))])
    assert found.failures.keys() == bad
    assert answers(found) == [x * x for x in range(10) if x not in bad]


def test_row_that_fails_costs_the_others_of_its_batch_nothing() -> None:
    found = evaluate(Square(on=raising(3)), [xs(1, 2), xs(3), xs(4, 3, 5)])
    assert [answers(each) for each in found] == [[1, 4], [], [16, 25]]
    assert [list(each.failures) for each in found] == [[], [0], [1]]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda c: squares(xs(*values(c), 0)), id="one row more"),
        pytest.param(lambda c: squares(xs(*values(c)[1:])), id="one row less"),
        pytest.param(
            lambda c: Evaluation(squares(c).outputs, {c.rows: Failure("X", "x")}), id="beyond"
        ),
    ],
)
def test_wrong_number_of_rows_is_a_fault_of_the_model(
    answer: Callable[[Columns], Evaluation],
) -> None:
    (found,) = evaluate(Square(on=answer), [xs(1, 2)])
    assert found.failures.keys() == {0, 1}
    assert "ValueError" in found.failures[0].message


def test_model_that_answers_other_columns_for_some_rows_gives_them_to_these_alone() -> None:
    def odd(columns: Columns) -> Evaluation:
        raising(3)(columns)
        return Evaluation({f"y{values(columns)[0]}": Dense(np.zeros(columns.rows))})

    (found,) = evaluate(Square(on=odd), [xs(1, 2, 3, 4)])
    assert found.failures.keys() == {2}
    assert {name: at.tolist() for name, at in found.present.items()} == {
        "y1.0": [0, 1],
        "y4.0": [2],
    }


@pytest.mark.parametrize("on_loop", [False, True])
async def test_model_that_wants_to_exit_is_not_let(on_loop: bool) -> None:
    def leave(columns: Columns) -> None:
        if 7 in values(columns):
            raise SystemExit(3)

    model = Square(on=leave)
    target = await quick(model) if on_loop else batcher(model)
    (found,) = await target.evaluate([xs(7)])
    assert "SystemExit: 3" in found.failures[0].message


def test_model_that_fails_all_rows_logs_one_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = evaluate(Square(on=raising(*range(100))), [xs(*range(60)), xs(*range(40))])
    (record,) = caplog.records
    assert record.exc_info
    assert record.__dict__["rows"] == 100
    assert all(record.__dict__["id"] in f.message for each in found for f in each.failures.values())


# Callers that leave


async def test_cancelled_caller_leaves_the_others_answers_alone() -> None:
    model = Square()
    model.gate.clear()
    target = batcher(model)
    busy = [asyncio.create_task(target.evaluate([xs(i)])) for i in range(2)]
    await until(lambda: model.calls)
    waiting = [asyncio.create_task(target.evaluate([xs(i)])) for i in range(2, 5)]
    await turns()
    for task in (busy[0], waiting[1]):
        task.cancel()
    await turns()
    model.gate.set()
    found = await asyncio.gather(*busy, *waiting, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [1, 0, 0, 1, 0]
    assert model.rows == [2, 2], "what nobody waits for is not evaluated"


async def test_callers_are_told_when_the_thread_is_gone() -> None:
    class Gone(Executor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            raise RuntimeError("no thread")

    target = batcher(Square(), Gone())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no thread"):
            await asyncio.wait_for(target.evaluate([xs(1)]), 10)


# On the loop or off it


async def test_first_evaluation_is_off_the_loop_and_quick_ones_come_onto_it() -> None:
    model = Square()
    target = batcher(model)
    for _ in range(30):
        await target.evaluate([xs(1)])
    here = threading.current_thread().name
    assert model.threads[0] == "worker"
    assert model.threads[-1] == here
    assert model.threads == sorted(model.threads, key=lambda name: name == here)


async def test_nothing_slower_than_the_limit_is_evaluated_on_the_loop() -> None:
    model = Square(cost=lambda rows: rows * INLINE_S / 4)
    target = batcher(model)
    for rows in [*[1] * 30, 3, 4, 5, 100, 4, 5]:
        await target.evaluate([xs(*range(rows))])
    on_loop = [rows for rows, thread in model.calls if thread != "worker"]
    assert on_loop
    assert max(on_loop) <= 4


def costs(pattern: Sequence[float]) -> Callable[[int], float]:
    following: Iterator[float] = iter(pattern)
    return lambda rows: next(following)


async def test_model_that_becomes_slow_now_and_then_hardly_ever_blocks_the_loop() -> None:
    # Every 20th evaluation takes a second, and all those between look quick.
    model = Square(cost=costs([1.0 if i % 20 == 19 else 1e-6 for i in range(4000)]))
    target = batcher(model)
    blocked = 0
    for _ in range(4000):
        before = model.clock.now
        await target.evaluate([xs(1)])
        slow = model.clock.now - before > LATE_S
        blocked += slow and model.threads[-1] != "worker"
    assert 1 <= blocked <= 8, "200 without the ban"


async def test_model_that_is_slow_from_now_on_blocks_the_loop_once() -> None:
    model = Square()
    target = await quick(model)
    model.cost = lambda rows: 1.0
    for _ in range(200):
        await target.evaluate([xs(1)])
    assert [thread == "worker" for thread in model.threads].count(False) == 1


# The thread


async def test_threads_of_models_end_with_them_and_hold_up_nobody() -> None:
    names = {"one", "two"}
    hung, well = Square(), Square()
    hung.gate.clear()
    first, second = batcher(hung, Worker("one")), batcher(well, Worker("two"))
    stuck = asyncio.create_task(first.evaluate([xs(1)]))
    await until(lambda: hung.calls)
    assert answers((await second.evaluate([xs(3)]))[0]) == [9]
    assert all(thread.daemon for thread in threading.enumerate() if thread.name in names)
    hung.gate.set()
    await stuck
    del first, second, stuck
    await until(lambda: not names & {thread.name for thread in threading.enumerate()})


def test_a_model_may_want_the_rows_of_each_input_by_themselves() -> None:
    """As the answers of some depend, in the last bit, on how many rows there are."""

    class Alone(Square):
        joins_inputs = False

    for model, calls in ((Square(), [3]), (Alone(), [2, 1])):
        answers = evaluate(model, [xs(1.0, 2.0), xs(3.0)])
        assert model.rows == calls
        assert [values(Columns({"x": a.outputs["y"]})) for a in answers] == [[1.0, 4.0], [9.0]]
