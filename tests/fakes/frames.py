"""Data frames as columns, as a request would bring them, and answers as arrays."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hydro_runtimes.columns import Column, Columns, Dense, Ragged, Strings
from hydro_runtimes.evaluator import Evaluator, Field


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


def assert_own_answers(evaluator: Evaluator, columns: Columns, wanted: Mapping[str, Any]) -> None:
    """The answers are those wanted: in one batch, row by row, and from four threads at once."""
    whole = answers(evaluator, columns)
    assert whole.keys() == wanted.keys()
    for name, want in wanted.items():
        got = whole[name]
        np.testing.assert_array_equal(got, want, strict=got.dtype != object)
    for row in range(min(columns.rows, 20)):
        alone = answers(evaluator, columns.take(slice(row, row + 1)))
        for name in wanted:
            np.testing.assert_array_equal(alone[name], whole[name][row : row + 1])
    _assert_same_in_threads(evaluator, columns, whole)


def _assert_same_in_threads(
    evaluator: Evaluator, columns: Columns, whole: dict[str, np.ndarray]
) -> None:
    wrong: list[str] = []

    def call(begin: int) -> None:
        for _ in range(5):
            some = answers(evaluator, columns.take(slice(begin, begin + 7)))
            wrong.extend(
                name
                for name, values in some.items()
                if not np.array_equal(values, whole[name][begin : begin + 7])
            )

    threads = [threading.Thread(target=call, args=(begin,)) for begin in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
