"""Data frames as columns, as a request would bring them, and answers as arrays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from hydro_runtimes.columns import Column, Columns, Dense, Ragged, Strings
from hydro_runtimes.evaluator import Evaluator, Field

Own: TypeAlias = Callable[[slice], Mapping[str, Any]]
"""The model's own answers to some of the rows, by output."""


def columns_of(frame: pd.DataFrame, evaluator: Evaluator) -> Columns:
    """The frame's columns, with the types that the model declares."""
    return Columns(
        {field.name: _column(field, frame[field.name]) for field in evaluator.signature.inputs},
        len(frame),
    )


def _column(field: Field, values: pd.Series) -> Column:
    missing = values.isna().to_numpy()
    validity = ~missing if missing.any() else None
    if field.type.dtype.hasobject:
        return Strings(["" if pd.isna(v) else str(v) for v in values], validity, field.type)
    plain = [0 if pd.isna(v) else v for v in values]
    return Dense(np.array(plain, field.type.dtype), validity)


def answers(evaluator: Evaluator, columns: Columns) -> dict[str, np.ndarray]:
    """By output; no row may fail."""
    found = evaluator.evaluate(columns)
    assert found.failures == {}
    return {name: _array(column) for name, column in found.outputs.items()}


def _array(column: Column) -> np.ndarray:
    if isinstance(column, Dense):
        return column.values
    if isinstance(column, Ragged):
        return _array(column.elements).reshape(column.rows, -1)
    assert isinstance(column, Strings)
    return np.array(column.values, object)


def assert_own_answers(
    evaluator: Evaluator, columns: Columns, wanted: Mapping[str, Any] | Own
) -> None:
    """The answers are those wanted: in one batch, row by row, and from four threads at once.

    Args:
        evaluator: of the model.
        columns: of all rows.
        wanted: the answers by output; or what answers some of the rows, where libraries of matrices
            round otherwise in batches of another size.
    """
    whole = answers(evaluator, columns)
    own = wanted if callable(wanted) else lambda rows: {n: v[rows] for n, v in wanted.items()}
    _assert_equal(whole, own(slice(None)))
    for row in range(min(columns.rows, 20)):
        rows = slice(row, row + 1)
        _assert_equal(answers(evaluator, columns.take(rows)), own(rows))
    _assert_same_in_threads(evaluator, columns, own)


def _assert_equal(got: Mapping[str, np.ndarray], want: Mapping[str, Any]) -> None:
    assert got.keys() == want.keys()
    for name, values in got.items():
        np.testing.assert_array_equal(values, want[name], strict=values.dtype != object)


def _assert_same_in_threads(evaluator: Evaluator, columns: Columns, own: Own) -> None:
    wrong: list[BaseException] = []

    def call(begin: int) -> None:
        rows = slice(begin % columns.rows, begin % columns.rows + 7)
        want = own(rows)
        try:
            for _ in range(5):
                _assert_equal(answers(evaluator, columns.take(rows)), want)
        except AssertionError as error:
            wrong.append(error)

    threads = [threading.Thread(target=call, args=(begin,)) for begin in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
