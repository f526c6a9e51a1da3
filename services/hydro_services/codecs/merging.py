"""Some rows each, as all of them: answers and columns of parts of a batch. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hydro_runtimes import merging
from hydro_runtimes.columns import Array, Column, Columns, DataType
from hydro_runtimes.evaluator import Evaluation, Field
from hydro_services.codecs import json_columns


def merged(parts: Sequence[tuple[Array, Evaluation]], rows: int) -> Evaluation:
    """The answer to some rows of which each part has been answered."""
    return merging.merged(parts, rows, _json)


def _json(parts: Sequence[Column]) -> Column:
    listed = [value for part in parts for value in json_columns.values(part)]
    return json_columns.column(listed, Field("", DataType.JSON, nullable=True))


def columns(parts: Sequence[tuple[Array, Columns]], rows: int) -> Columns:
    """The columns of some rows each as those of all rows."""
    found = merged([(at, Evaluation(part, present=part.present)) for at, part in parts], rows)
    return Columns(found.outputs, rows, found.present)
