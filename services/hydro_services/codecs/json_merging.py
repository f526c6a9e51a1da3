"""Some rows each, as all of them: answers and columns of parts of a batch. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hydro_runtimes import merge_answers
from hydro_runtimes.columns import Array, Column, Columns, DataType
from hydro_runtimes.evaluator import Evaluation, Field
from hydro_services.codecs import json_columns, json_values


def merge_answers_as_json(parts: Sequence[tuple[Array, Evaluation]], rows: int) -> Evaluation:
    """The answer to some rows of which each part has been answered."""
    return merge_answers.merge_answers(parts, rows, _join_as_json)


def _join_as_json(parts: Sequence[Column]) -> Column:
    listed = [value for part in parts for value in json_values.list_values(part)]
    return json_columns.parse_column(listed, Field("", DataType.JSON, nullable=True))


def merge_columns(parts: Sequence[tuple[Array, Columns]], rows: int) -> Columns:
    """The columns of some rows each as those of all rows."""
    found = merge_answers_as_json(
        [(at, Evaluation(part, present=part.present)) for at, part in parts], rows
    )
    return Columns(found.outputs, rows, found.present)
