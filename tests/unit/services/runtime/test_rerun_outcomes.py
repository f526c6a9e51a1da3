"""What was run again and ended its process once more is not run a third time, whoever gets it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.columns import Column, Columns, DataType, Dense, Ragged, Strings
from hydro_runtimes.evaluator import Evaluation, Field, Signature
from hydro_services import logs
from hydro_services.runtime import fork, rerun_outcomes
from hydro_services.runtime.batch import Batcher
from hydro_services.runtime.rerun_outcomes import RerunOutcomes
from hydro_services.runtime.row_search import fail_rows
from hydro_services.runtime.worker import Worker

TABLES = st.dictionaries(
    st.sampled_from("ab"), st.lists(st.sampled_from(["", "a", "b"]), min_size=2, max_size=2)
)


def columns(texts: dict[str, list[str]]) -> Columns:
    """Made anew, with lists as well."""
    made: dict[str, Column] = {name: Strings(list(each)) for name, each in texts.items()}
    offsets = np.array([0, 1, 2], np.int64)
    lists = {f"{name}s": Ragged(offsets, column) for name, column in made.items()}  # type: ignore[arg-type]
    return Columns(made | lists, 2)


@given(TABLES, TABLES, st.text(), st.text(), st.text(), st.text())
def test_a_key_is_of_a_request_its_content_and_the_model(
    one: dict[str, list[str]],
    other: dict[str, list[str]],
    one_id: str,
    other_id: str,
    one_model: str,
    other_model: str,
) -> None:
    left = one_model, one_id, list(one.items())
    right = other_model, other_id, list(other.items())
    found = RerunOutcomes(None, one_model).key(one_id, columns(one))
    assert found == RerunOutcomes(None, one_model).key(one_id, columns(one))
    assert (found == RerunOutcomes(None, other_model).key(other_id, columns(other))) == (
        left == right
    )


class Killer:
    """Ends its process where x is 13, and notes each row that it gets."""

    signature = Signature((Field("x", DataType.FLOAT64),), (Field("y", DataType.FLOAT64),))

    def __init__(self, file: Path) -> None:
        self.file = file

    def evaluate(self, inputs: Columns) -> Evaluation:
        column = inputs["x"]
        assert isinstance(column, Dense)
        with self.file.open("a") as file:
            file.writelines(f"{value:g}\n" for value in column.values)
        if 13 in column.values:
            os.abort()
        return Evaluation({"y": Dense(column.values * 2)})

    @property
    def runs(self) -> list[str]:
        return self.file.read_text().split()


def xs(*values: float) -> list[Columns]:
    return [Columns({"x": Dense(np.array([value]))}) for value in values]


async def again(
    model: Killer, folder: Path, inputs: Sequence[Columns], id: str = "id"
) -> list[bool]:
    """Whether each has failed, as a process that has just begun answers."""
    batcher = Batcher(model, Worker("model"), rerun_outcomes=RerunOutcomes(folder, "m"))
    with logs.RequestIds([id]):
        answers = await batcher.evaluate(inputs, is_rerun=True)
    failures = [failure for each in answers for failure in each.failures.values()]
    assert all("SIGABRT" in failure.message for failure in failures)
    return [bool(each.failures) for each in answers]


async def test_what_ended_a_fork_is_not_run_again(tmp_path: Path) -> None:
    model, folder = Killer(tmp_path / "runs"), tmp_path / "reruns"
    for _ in range(3):
        assert await again(model, folder, xs(1, 13, 2)) == [False, True, False]
    assert model.runs == ["1", "13", "2"] + ["1", "2"] * 2
    assert await again(model, folder, xs(13), "other") == [True]
    assert model.runs.count("13") == 2, "another request has its own second run"


class Threaded(Killer):
    """Works by a thread that it began before."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.pid = os.getpid()

    def evaluate(self, inputs: Columns) -> Evaluation:
        if os.getpid() != self.pid:
            threading.Event().wait()
        return super().evaluate(inputs)


def end_under_way(found: RerunOutcomes, id: str, inputs: Columns) -> None:
    """A process ends while it runs them again."""
    pid = os.fork()
    if not pid:
        with found.under_way(found.key(id, inputs), inputs.rows):
            os._exit(1)
    os.waitpid(pid, 0)


async def test_what_ended_a_process_that_ran_it_again_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork, "IDLE_S", 0.5)
    model, folder = Threaded(tmp_path / "runs"), tmp_path / "reruns"
    assert await again(model, folder, xs(1)) == [False]
    assert not [*folder.glob("*")], "it is done"
    end_under_way(RerunOutcomes(folder, "m"), "id", xs(13)[0])
    batcher = Batcher(model, Worker("model"), rerun_outcomes=RerunOutcomes(folder, "m"))
    with logs.RequestIds(["id"]):
        (answer,) = await batcher.evaluate(xs(13), is_rerun=True)
    assert "did not answer" in answer.failures[0].message
    assert model.runs == ["1"]


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    found = RerunOutcomes(tmp_path, "m")
    failures = fail_rows([1, 3], "SIGABRT") | fail_rows([2], "SIGSEGV")
    found.add("old", failures)
    found.add("new", failures)
    before = time.time() - rerun_outcomes.KEPT_S - 1
    os.utime(tmp_path / "old", (before, before))
    rerun_outcomes.remove_old(tmp_path)
    assert (found.outcome("old"), found.outcome("new")) == ({}, failures)


async def test_a_disk_that_takes_nothing_costs_no_answer(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    model = Killer(tmp_path / "runs")
    assert await again(model, tmp_path / "file", xs(13, 2)) == [True, False]
