"""The answers of several groups of rows as one."""

from __future__ import annotations

from collections.abc import Sequence

from hydro_runtimes import merge_answers
from hydro_runtimes.columns import Array, Column, DataType, Strings
from hydro_runtimes.evaluator import Evaluation
from hydro_runtimes.spark.data.sql_columns import column_json


def merge_groups(parts: Sequence[tuple[Array, Evaluation]], rows: int) -> Evaluation:
    """One answer for all rows, whose columns are JSON where the groups differ in type.

    Args:
        parts: the answers of the groups, each with the indices of its rows, int64.
        rows: how many there are in the request.
    """
    # A group whose rows all fail has no columns, or empty ones, of whatever type.
    well = [
        (at, each if len(each.failures) < len(at) else _failures_only(each)) for at, each in parts
    ]
    return merge_answers.merge_answers(well, rows, _json_column)


def _failures_only(answer: Evaluation) -> Evaluation:
    return Evaluation({}, answer.failures)


def _json_column(parts: Sequence[Column]) -> Column:
    texts = [text for part in parts for text in column_json(part)]
    return Strings(texts, None, DataType.JSON)
