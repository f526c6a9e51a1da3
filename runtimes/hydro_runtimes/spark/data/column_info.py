"""What is known of a column while a pipeline is loaded: its type, shape and attributes.

Source: org.apache.spark.ml.attribute.{Attribute, AttributeGroup}, 4.3.0.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field
from hydro_runtimes.spark.data.column_names import matching_names
from hydro_runtimes.spark.data.element_attributes import (
    MAX_NAMED_ELEMENTS,
    ElementAttribute,
    LazyAttributes,
)
from hydro_runtimes.spark.data.sql_columns import SMALL_TYPES, column_type
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.typenames import type_named
from hydro_runtimes.spark.sql.types import STRING, SqlType
from hydro_runtimes.spark.sql.types import UNKNOWN as UNKNOWN_TYPE

NUMBERS = (DataType.FLOAT64, DataType.FLOAT32, DataType.INT32, DataType.INT64, DataType.BOOL)
ANY = DataType.JSON
"""The type of a column that may be of any type, because the saved pipeline does not tell it."""


class Reading(enum.Enum):
    """How stages read a column that may be of any type."""

    ANY = "any"
    NUMBERS = "numbers"
    """Numbers, booleans or vectors of them."""
    LABEL = "label"
    """The text of any scalar."""
    SQL = "sql"
    """Any value, in exactly its own type."""
    SQL_NUMBERS = "sql numbers"
    """As SQL, but "NaN", "Infinity" and "-Infinity" are numbers."""


_READINGS = (Reading.ANY, Reading.LABEL, Reading.NUMBERS, Reading.SQL, Reading.SQL_NUMBERS)
"""If two stages read a column, the reading that is later in this list counts."""


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """What is known of a column at one point of the pipeline."""

    type: DataType
    shape: tuple[int, ...] = ()
    nominal: tuple[str, ...] = ()
    """The names of the values of a nominal scalar."""
    attributes: Sequence[ElementAttribute] | None = None
    """The elements of a vector, if they have attributes."""
    values: int | None = None
    """The number of values of a nominal scalar."""
    reading: Reading = Reading.ANY
    """How stages read it, if its type is not known."""
    parts: tuple[str, ...] = ()
    """The columns that a vector is assembled from, if some may be numbers or vectors."""
    form: str = ""
    """The assembled column that stores the same elements as Spark's vectors of this column."""
    sql: SqlType | None = None
    """The SQL type, if a statement made the column."""

    @property
    def size(self) -> int | None:
        """The size of a vector; None if it is not known or this is not a vector."""
        return self.shape[0] if len(self.shape) == 1 and self.shape[0] >= 0 else None

    @property
    def is_vector(self) -> bool:
        return len(self.shape) == 1 and self.type is DataType.FLOAT64


NUMBER = ColumnInfo(DataType.FLOAT64)
TEXT = ColumnInfo(DataType.STRING)
TEXTS = ColumnInfo(DataType.STRING, (-1,))
UNKNOWN = ColumnInfo(ANY)
NUMERIC = ColumnInfo(ANY, reading=Reading.NUMBERS)
LABEL = ColumnInfo(ANY, reading=Reading.LABEL)
SQL = ColumnInfo(ANY, reading=Reading.SQL)
SQL_NUMBER = ColumnInfo(ANY, reading=Reading.SQL_NUMBERS)


def vector_info(
    size: int | None, attributes: Sequence[ElementAttribute] | None = None
) -> ColumnInfo:
    """A column of vectors of this size; None means that the size is not known."""
    return ColumnInfo(DataType.FLOAT64, (-1 if size is None else size,), attributes=attributes)


def stated_info(field: Field) -> ColumnInfo:
    """What a field that is stated beside a model tells of its column.

    Raises:
        StatementError: its type is none of SQL.
    """
    if field.elements:
        return vector_info(len(field.elements), tuple(map(ElementAttribute, field.elements)))
    if field.sql:
        return _info_of_sql(field)
    return ColumnInfo(field.type, field.shape, field.nominal, values=len(field.nominal) or None)


def _info_of_sql(field: Field) -> ColumnInfo:
    try:
        kind = type_named(field.sql)
    except StatementError:
        kinds = ", ".join(each.value for each in DataType)
        want = f"want one of {kinds}, or one of Spark's SQL such as decimal(10,2) or date"
        got = f"the type of the input '{field.name}' is '{field.sql}'"
        raise StatementError(f"{got}, {want}") from None
    name, shape = column_type(kind)
    is_plain = kind == STRING or (name in NUMBERS and not shape)
    if not is_plain:
        return replace(SQL, sql=kind)
    return ColumnInfo(name, shape, sql=kind if kind in SMALL_TYPES else None)


def info_of_type(kind: SqlType) -> ColumnInfo:
    """A column that a statement makes."""
    name, shape = column_type(kind)
    return ColumnInfo(name, shape, sql=None if kind == UNKNOWN_TYPE else kind)


def field_info(known: ColumnInfo, fields: Sequence[str]) -> ColumnInfo | None:
    """A field of a column of structs; None where its type is not known."""
    kind = known.sql
    for name in fields:
        places = [] if kind is None else matching_names(name, kind.names)
        if kind is None or len(places) != 1:
            return None
        kind = kind.parts[kind.names.index(places[0])]
    return None if kind is None else info_of_type(kind)


def how_to_state(*entries: Mapping[str, Any], **entry: Any) -> str:
    """For a message: how to state in metadata.json what the save does not tell of inputs."""
    every = [*entries, entry] if entry else entries
    line = json.dumps({"inputs": every}, ensure_ascii=False)
    return f"state it beside the model in metadata.json: {line}"


def element_attributes_of(name: str, known: ColumnInfo) -> Sequence[ElementAttribute]:
    """The elements that a column of known size becomes in an assembled vector.

    Source: org.apache.spark.ml.feature.VectorAssembler.transform, 4.3.0.
    """
    if not known.shape:
        return (ElementAttribute(name, known.values, known.nominal),)
    if (known.size or 0) > MAX_NAMED_ELEMENTS:
        return ()
    attributes = known.attributes
    if not attributes:
        return LazyAttributes(known.size or 0, lambda i: ElementAttribute(f"{name}_{i}"))

    def attribute(i: int) -> ElementAttribute:
        own = attributes[i]
        return replace(own, name=f"{name}_{i if own.name is None else own.name}")

    return LazyAttributes(len(attributes), attribute)


def merge_infos(known: ColumnInfo, wanted: ColumnInfo) -> ColumnInfo | None:
    """What is known of a column that a stage reads as `wanted`; None if it cannot be that."""
    if known.sql is not None and wanted.type is ANY:
        return known
    if wanted.type is ANY:
        # The most exact reading counts; one that takes "NaN" for a number is not lost.
        later = _READINGS.index(wanted.reading) > _READINGS.index(known.reading)
        return wanted if known.type is ANY and later else known
    if known.type is ANY:
        return wanted
    numbers = known.type in NUMBERS and wanted.type in NUMBERS
    if not (numbers or known.type is wanted.type) or len(known.shape) != len(wanted.shape):
        return None
    shape = []
    for mine, theirs in zip(known.shape, wanted.shape, strict=True):
        if mine != theirs and -1 not in (mine, theirs):
            return None
        shape.append(max(mine, theirs))
    return replace(known, shape=tuple(shape))


def describe_info(known: ColumnInfo) -> str:
    """The type and shape of a column, for a message."""
    match known.shape:
        case ():
            return known.type.value
        case (-1,):
            return f"a list or vector of {known.type.value}"
    return f"{known.type.value} of shape {known.shape}"
