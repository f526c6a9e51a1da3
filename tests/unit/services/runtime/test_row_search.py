"""Of a frame that ends processes only the rows that do so fail, found by few forks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.columns import Columns, DataType, Dense
from hydro_runtimes.evaluator import Evaluation, Failure, Field, Signature
from hydro_services import logs
from hydro_services.runtime import row_search
from hydro_services.runtime.batch import Batcher
from hydro_services.runtime.rerun_outcomes import RerunOutcomes
from hydro_services.runtime.row_search import MAX_FORKS, RowSearch
from hydro_services.runtime.worker import Worker

ENDS, RAISES = 13.0, 14.0


def search(rows: int, killers: set[int]) -> tuple[RowSearch, int, list[int]]:
    """The search when it is over, the forks that it took, and the rows that were run, as run."""
    found, forks, ran = RowSearch(rows, "SIGABRT"), 0, []
    while parts := found.waiting():
        forks += 1
        for part in parts:
            ran += part.tolist()
            if not killers.isdisjoint(part.tolist()):
                found.ended("SIGABRT")
                break
            found.answered(Evaluation({"row": Dense(part.astype(np.float64))}))
    return found, forks, ran


@given(st.data(), st.integers(1, 1200))
def test_only_the_rows_that_end_processes_fail(data: st.DataObject, rows: int) -> None:
    some = st.sets(st.integers(0, rows - 1), min_size=1, max_size=5)
    killers = data.draw(some)
    found, forks, ran = search(rows, killers)
    answer = found.answer()
    assert set(answer.failures) == killers == set(found.failures())
    others = [row for row in range(rows) if row not in killers]
    if others:
        column = answer.outputs["row"]
        assert isinstance(column, Dense)
        assert column.values.tolist() == others
    assert forks <= 2 * len(killers) + 1
    assert forks == 0 if rows == 1 else max(map(ran.count, killers)) <= 2 * len(killers)


def test_a_frame_of_many_killers_is_given_up() -> None:
    found, forks, _ = search(500, set(range(100, 500)))
    assert forks == MAX_FORKS
    failed = set(found.answer().failures)
    assert failed >= set(range(100, 500))
    assert failed.isdisjoint(range(88))


class Odd:
    """Ends its process, or raises, where x says so."""

    signature = Signature((Field("x", DataType.FLOAT64),), (Field("y", DataType.FLOAT64),))

    def evaluate(self, inputs: Columns) -> Evaluation:
        column = inputs["x"]
        assert isinstance(column, Dense)
        if ENDS in column.values:
            os.abort()
        if RAISES in column.values:
            raise ValueError("no 14")
        return Evaluation({"y": Dense(column.values * 2)})


async def answered(values: list[float], folder: Path, ended: list[str]) -> Evaluation:
    """As by a process that has just begun."""
    outcomes = RerunOutcomes(folder, "m")
    batcher = Batcher(Odd(), Worker("model"), crashed=ended.append, rerun_outcomes=outcomes)
    inputs = [Columns({"x": Dense(np.array(values))}, len(values))]
    with logs.RequestIds(["id"]):
        return (await batcher.evaluate(inputs, is_rerun=True))[0]


async def test_a_row_that_ends_processes_fails_alone(tmp_path: Path) -> None:
    values = [float(n) for n in range(500)]
    ended: list[str] = []
    for _ in range(2):  # Envoy may run a chain once more
        answer = await answered(values, tmp_path / "reruns", ended)
        assert set(answer.failures) == {13, 14}
        assert "SIGABRT" in answer.failures[13].message
        assert "no 14" in answer.failures[14].message
        column = answer.outputs["y"]
        assert isinstance(column, Dense)
        assert column.values.tolist() == [2 * n for n in values if n not in (ENDS, RAISES)]
    assert ended == ["SIGABRT"], "a frame counts once, and not when it comes again"


async def test_the_search_ends_after_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydro_services.runtime.rerun_queue.LIMIT_S", 0.0)
    answer = await asyncio.wait_for(answered([1.0, ENDS, 2.0], tmp_path, []), 30)
    assert set(answer.failures) == {0, 1, 2}


def test_failures_tell_how_the_process_ended() -> None:
    assert row_search.fail_rows([1], "SIGSEGV").keys() == {1}
    failure = row_search.fail_rows([1], "SIGSEGV")[1]
    assert isinstance(failure, Failure)
    assert "SIGSEGV" in failure.message
