"""Which kind a column of the example is, by its dtype or by its values."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from hydro_models.column_kinds import Categories, ColumnKind, Masked, Numbers, Objects, Texts, Times
from hydro_models.errors import CannotSave
from hydro_models.missing_values import is_missing, missing_name
from hydro_models.wire import (
    to_json,
)


def describe_column(where: str, values: Any) -> ColumnKind:
    """The kind of a column: a Series, an Index or an array of numpy.

    Raises:
        CannotSave: there is none for it.
    """
    dtype = values.dtype
    if not isinstance(dtype, np.dtype):
        return _describe_extension(where, values, dtype)
    if dtype.kind in "biuf" and dtype.itemsize <= 8:
        return Numbers(dtype.name)
    if dtype.kind in "Mm":
        return Times(dtype.name, of_pandas=not isinstance(values, np.ndarray))
    if dtype.kind == "U":
        return Texts("U", "None")
    if dtype.kind == "O":
        return _describe_objects(where, list(values))
    raise CannotSave(f"{where} is of dtype {dtype}, want numbers, texts, times or categories")


def _describe_extension(where: str, values: Any, dtype: Any) -> ColumnKind:
    import pandas

    if isinstance(dtype, pandas.CategoricalDtype):
        inner = describe_column(f"the categories of {where}", dtype.categories)
        return Categories(tuple(inner.encode(dtype.categories)), inner, bool(dtype.ordered))
    if isinstance(dtype, pandas.StringDtype):
        missing = "NA" if dtype.na_value is pandas.NA else "nan"
        return Texts("string", missing, dtype.storage)
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return Times(str(dtype))
    if (
        hasattr(dtype, "numpy_dtype")
        and hasattr(dtype, "type")
        and not hasattr(dtype, "pyarrow_dtype")
    ):
        return Masked(dtype.name)
    raise CannotSave(
        f"{where} is of dtype {dtype}, which is not supported: convert it with astype, to numbers, "
        "texts or a category, and fit the model on that"
    )


def _describe_objects(where: str, values: list[Any]) -> ColumnKind:
    missing = next((missing_name(value) for value in values if is_missing(value)), "nan")
    present = [value for value in values if not is_missing(value)]
    if all(isinstance(value, str) for value in present):
        return Texts("object", missing)
    for value in present:
        _check_json(where, value)
    return Objects(missing)


def _check_json(where: str, value: Any) -> None:
    try:
        json.dumps(to_json(value))
    except (TypeError, ValueError) as error:
        raise CannotSave(
            f"{where} holds a {type(value).__name__}, which JSON does not have: convert the column "
            "to numbers, texts, times or a category, and fit the model on that"
        ) from error
