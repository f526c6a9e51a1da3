"""The answers of several groups of rows as one."""

from __future__ import annotations

from collections.abc import Sequence

from hydro_runtimes import merging
from hydro_runtimes.columns import Array, Column, DataType, Strings
from hydro_runtimes.evaluator import Evaluation
from hydro_runtimes.spark.data.sql_columns import column_json


def merge_groups(parts: Sequence[tuple[Array, Evaluation]], rows: int) -> Evaluation:
    """One answer for all rows: the columns that every group has, as JSON where their types differ.

    Args:
        parts: the answers of the groups, each with the indices of its rows, int64.
        rows: how many there are in the request.
    """
    # A group whose rows all fail has no columns, or empty ones, of whatever type.
    well = [
        (at, each if len(each.failures) < len(at) else _failures_only(each)) for at, each in parts
    ]
    found = merging.merge_answers(well, rows, _json_column)
    outputs = {name: column for name, column in found.outputs.items() if name not in found.present}
    return Evaluation(outputs, found.failures)


def _failures_only(answer: Evaluation) -> Evaluation:
    return Evaluation({}, answer.failures)


def _json_column(parts: Sequence[Column]) -> Column:
    texts = [text for part in parts for text in column_json(part)]
    return Strings(texts, None, DataType.JSON)
