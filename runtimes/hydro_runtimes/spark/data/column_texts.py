"""Columns of numbers and booleans as the texts that Spark casts them to."""

from __future__ import annotations

from collections.abc import Sequence

from hydro_runtimes.columns import Column, Dense, Strings
from hydro_runtimes.spark.data.batch import InputColumn
from hydro_runtimes.spark.sql import java_text


def cast_to_texts(source: InputColumn, column: Column) -> Sequence[str | None]:
    """Spark's CAST of a scalar column to STRING; None for null.

    Raises:
        WrongColumn: the column does not hold scalars.
    """
    if isinstance(column, Strings):
        values: Sequence[str | None] = column.values
    elif isinstance(column, Dense) and column.values.ndim == 1:
        values = java_text.number_texts(column.values)
    else:
        raise source.wrong_column(column, "a text, a number or a boolean")
    if column.validity is None:
        return values
    return [v if ok else None for v, ok in zip(values, column.validity.tolist(), strict=True)]
