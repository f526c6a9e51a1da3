"""What a column of the example holds, and how such a column is made again of a batch's values.

A kind states the type in metadata.json (`wire`), writes the example's values as JSON, and builds
values that a model cannot tell from those that it was fitted on: the dtype, the missing value.
pandas is imported where a column needs it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from hydro_models.missing_values import is_missing, is_nan, missing_value
from hydro_models.wire import (
    FLOATS,
    INTEGERS,
    Array,
    Input,
    PlainValues,
    WireColumn,
    parse_rows,
    to_json,
)

MAX_EXACT = 2**53
"""Integers of up to this size are float64 exactly."""
Faults: TypeAlias = dict[int, str]
"""What is wrong with values, by row."""


class ColumnKind(Protocol):
    """One kind of column; its fields are what the schema stores of it."""

    name: ClassVar[str]

    @property
    def wire(self) -> str:
        """The type in metadata.json."""
        ...

    def encode(self, values: Any) -> list[Any]:
        """The example's values as JSON values, a missing one as None."""
        ...

    def build(self, column: WireColumn, faults: Faults) -> Any:
        """The values as they were in the example: an array of numpy or pandas, (rows,).

        Values that cannot be given to a model are added to `faults`, and replaced by others.
        """
        ...


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers and booleans of numpy. A null is what it would be in a data frame: NaN.

    An integer column with a null becomes float64, and a boolean one an object column, as pandas
    makes them.
    """

    dtype: str
    name: ClassVar[str] = "numbers"

    @property
    def wire(self) -> str:
        return _wire_of(np.dtype(self.dtype))

    def encode(self, values: Any) -> list[Any]:
        return [_number_to_json(value) for value in np.asarray(values).tolist()]

    def build(self, column: WireColumn, faults: Faults) -> Array:
        want = np.dtype(self.dtype)
        values = _cast(np.asarray(column.values), want, column.validity, faults)
        if column.validity is None:
            return values
        return _with_nan(values, column.validity, faults)


@dataclass(frozen=True, slots=True)
class Masked:
    """Numbers and booleans of pandas' nullable dtypes: Int64, Float32, boolean."""

    dtype: str
    name: ClassVar[str] = "masked"

    @property
    def wire(self) -> str:
        return _wire_of(self._pandas().numpy_dtype)

    def encode(self, values: Any) -> list[Any]:
        return [_masked_to_json(value) for value in values.array]

    def build(self, column: WireColumn, faults: Faults) -> Any:
        dtype = self._pandas()
        validity = column.validity
        values = _cast(np.asarray(column.values), dtype.numpy_dtype, validity, faults)
        mask = np.zeros(len(values), np.bool_) if validity is None else ~validity
        # It is changed in place by some of what it is given to.
        return dtype.construct_array_type()(values, mask, copy=True)

    def _pandas(self) -> Any:
        import pandas

        return pandas.api.types.pandas_dtype(self.dtype)


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts: objects, numpy's of fixed width, or pandas' dtype of texts."""

    dtype: str
    """object, U (numpy's), or string (pandas')."""
    missing: str = "nan"
    """nan, None or NA."""
    storage: str = ""
    """Of pandas' dtype: python or pyarrow."""
    name: ClassVar[str] = "texts"

    @property
    def wire(self) -> str:
        return "string"

    def encode(self, values: Any) -> list[Any]:
        return [None if is_missing(value) else str(value) for value in values]

    def build(self, column: WireColumn, faults: Faults) -> Any:
        texts = list(column.values)
        if column.validity is not None:
            missing = missing_value(self.missing) if self.dtype != "string" else None
            for row in np.flatnonzero(~column.validity).tolist():
                texts[row] = missing
        if self.dtype == "string":
            return self._pandas_texts(texts)
        if self.dtype == "U" and column.validity is None:
            return np.array(texts, np.str_) if texts else np.array([], "<U1")
        return object_array(texts)

    def _pandas_texts(self, texts: list[Any]) -> Any:
        import pandas

        storage = self.storage
        if storage == "pyarrow" and not _has_pyarrow():
            storage = "python"
        return pandas.array(
            texts, dtype=pandas.StringDtype(storage, na_value=missing_value(self.missing))
        )


@dataclass(frozen=True, slots=True)
class Objects:
    """Python values that JSON has: booleans, numbers and texts mixed, lists, dictionaries."""

    missing: str = "nan"
    """nan, None or NA."""
    name: ClassVar[str] = "objects"

    @property
    def wire(self) -> str:
        return "json"

    def encode(self, values: Any) -> list[Any]:
        return [None if is_missing(value) else to_json(value) for value in values]

    def build(self, column: WireColumn, faults: Faults) -> Array:
        missing = missing_value(self.missing)
        return object_array(_read_json(column, lambda value: value, missing, faults))


@dataclass(frozen=True, slots=True)
class Times:
    """Times and durations: ISO 8601, or milliseconds (since 1970, UTC), as pandas writes JSON."""

    dtype: str
    """Such as datetime64[us], datetime64[ns, Europe/Berlin] or timedelta64[s]."""
    of_pandas: bool = True
    name: ClassVar[str] = "times"

    @property
    def wire(self) -> str:
        return "json"

    def encode(self, values: Any) -> list[Any]:
        import pandas

        times = pandas.Index(values)
        if getattr(times, "tz", None) is not None:  # offsets of old have seconds
            times = times.tz_convert("UTC")
        return [None if time is pandas.NaT else time.isoformat() for time in times]

    def build(self, column: WireColumn, faults: Faults) -> Any:
        import pandas

        is_duration = self.dtype.startswith("timedelta")
        dtype = pandas.api.types.pandas_dtype(self.dtype)
        zone = getattr(dtype, "tz", None)
        unit = getattr(dtype, "unit", None) or np.datetime_data(dtype)[0]
        read: Callable[[Any], Any] = _read_duration if is_duration else _TimeReader(zone)
        times = _read_json(column, lambda value: read(value).as_unit(unit), pandas.NaT, faults)
        index = pandas.TimedeltaIndex if is_duration else pandas.DatetimeIndex
        array = index(times, dtype=dtype).array
        return array if self.of_pandas else np.asarray(array)


@dataclass(frozen=True, slots=True)
class Categories:
    """A categorical column. A value that is not among the categories is added to them.

    What a model makes of a category that it was not fitted on is for the model to say.
    """

    categories: tuple[Any, ...]
    """As JSON values."""
    values: ColumnKind
    """Of the categories."""
    ordered: bool = False
    name: ClassVar[str] = "categories"

    @property
    def wire(self) -> str:
        return self.values.wire

    def encode(self, values: Any) -> list[Any]:
        import pandas

        listed = pandas.Categorical(values)
        categories = self.values.encode(listed.categories)
        return [None if code < 0 else categories[code] for code in listed.codes.tolist()]

    def build(self, column: WireColumn, faults: Faults) -> Any:
        import pandas

        index = self.index()
        validity = column.validity
        rows = np.arange(len(column.values)) if validity is None else np.flatnonzero(validity)
        mine: Faults = {}
        given = self.values.build(_take(column, rows), mine)
        faults |= {int(rows[at]): fault for at, fault in mine.items()}
        codes = np.full(len(column.values), -1)
        codes[rows] = found = index.get_indexer(pandas.Index(given))
        if (found < 0).any():
            unknown = pandas.Index(given)[found < 0].unique()
            index = index.append(unknown)
            codes[rows] = index.get_indexer(pandas.Index(given))
        dtype = pandas.CategoricalDtype(index, self.ordered)
        return pandas.Categorical.from_codes(codes, dtype=dtype)

    def index(self) -> Any:
        """The categories as pandas has them."""
        import pandas

        return pandas.Index(self.values.build(_json_column(self.categories, self.values.wire), {}))


KINDS: dict[str, Any] = {
    kind.name: kind for kind in (Numbers, Masked, Texts, Objects, Times, Categories)
}


def kind_to_json(kind: Any) -> dict[str, Any]:
    """What the schema in metadata.json says of a column."""
    if isinstance(kind, Categories):
        fields = {
            "categories": list(kind.categories),
            "values": kind_to_json(kind.values),
            "ordered": kind.ordered,
        }
    else:
        fields = asdict(kind)
    return {"kind": kind.name, **fields}


def kind_from_json(stored: dict[str, Any]) -> ColumnKind:
    """The reverse of `kind_to_json`.

    Raises:
        KeyError, TypeError: it is not what that writes.
    """
    fields = {name: value for name, value in stored.items() if name != "kind"}
    if stored["kind"] == Categories.name:
        fields["categories"] = tuple(fields["categories"])
        fields["values"] = kind_from_json(fields["values"])
    kind: ColumnKind = KINDS[stored["kind"]](**fields)
    return kind


def object_array(values: Sequence[Any]) -> Array:
    """An array of objects, (rows,), whatever they are."""
    array = np.empty(len(values), object)
    for row, value in enumerate(values):
        array[row] = value
    return array


def _wire_of(dtype: np.dtype[Any]) -> str:
    """The narrowest type in metadata.json that has all values of a dtype, but large uint64."""
    if dtype.kind == "b":
        return "bool"
    table = FLOATS if dtype.kind == "f" else INTEGERS
    return next((name for name, want in table.items() if np.can_cast(dtype, want)), "int64")


def _number_to_json(value: Any) -> Any:
    return None if is_nan(value) else to_json(value)


def _masked_to_json(value: Any) -> Any:
    return None if type(value).__name__ == "NAType" else to_json(value)


def _cast(values: Array, want: np.dtype[Any], validity: Array | None, faults: Faults) -> Array:
    """The values in the dtype of the example; those out of its range are faults."""
    if values.dtype == want:
        return values
    if want.kind not in "iu" or np.can_cast(values.dtype, want):
        with np.errstate(over="ignore"):
            return values.astype(want)
    limits = np.iinfo(want)
    wrong = (values < limits.min) | (values > min(limits.max, np.iinfo(values.dtype).max))
    if validity is not None:
        wrong &= validity
    for row in np.flatnonzero(wrong).tolist():
        faults[row] = f"is {values[row]}, want {limits.min} to {limits.max}"
    return values.astype(want)


def _with_nan(values: Array, validity: Array, faults: Faults) -> Array:
    if values.dtype.kind == "f":
        values = values.copy()
    elif values.dtype.kind == "b":
        values = values.astype(object)
    else:
        large = (values.astype(np.float64).astype(object) != values.astype(object)) & validity
        for row in np.flatnonzero(large).tolist():
            faults[row] = f"is {values[row]} in a batch with nulls, want at most {MAX_EXACT}"
        values = values.astype(np.float64)
    values[~validity] = math.nan
    return values


def _take(column: WireColumn, rows: Array) -> WireColumn:
    if len(rows) == len(column.values):
        return PlainValues(column.values)
    if isinstance(column.values, np.ndarray):
        return PlainValues(column.values[rows])
    return PlainValues([column.values[row] for row in rows.tolist()])


def _json_column(values: Iterable[Any], wire: str) -> WireColumn:
    return parse_rows([{"": value} for value in values], [Input("", wire)])[""]


def _read_json(
    column: WireColumn, read: Callable[[Any], Any], missing: Any, faults: Faults
) -> list[Any]:
    """The values of JSON texts; `missing` for those that are null or at fault."""
    valid = np.ones(len(column.values), np.bool_) if column.validity is None else column.validity
    values: list[Any] = []
    for row, (text, is_valid) in enumerate(zip(column.values, valid.tolist(), strict=True)):
        value = json.loads(text) if is_valid else None
        try:
            values.append(missing if value is None else read(value))
        except (ValueError, TypeError, OverflowError) as error:
            faults[row] = f"is {text[:40]}: {error}"
            values.append(missing)
    return values


class _TimeReader:
    """A time in JSON: milliseconds since 1970, or text."""

    def __init__(self, zone: Any) -> None:
        self._zone = zone

    def __call__(self, value: Any) -> Any:
        import pandas

        _check_time(value)
        is_number = not isinstance(value, str)
        time = pandas.Timestamp(value, unit="ms") if is_number else pandas.Timestamp(value)
        if self._zone is None:
            return time.tz_convert(None) if time.tzinfo else time
        if time.tzinfo is None:
            time = time.tz_localize("UTC" if is_number else self._zone)
        return time.tz_convert(self._zone)


def _read_duration(value: Any) -> Any:
    import pandas

    _check_time(value)
    return pandas.Timedelta(value) if isinstance(value, str) else pandas.Timedelta(value, unit="ms")


def _check_time(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("want text in ISO 8601, or milliseconds")


def _has_pyarrow() -> bool:
    import importlib.util

    return importlib.util.find_spec("pyarrow") is not None
