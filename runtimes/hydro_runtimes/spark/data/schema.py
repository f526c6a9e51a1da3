"""What is known of the columns while a pipeline is loaded: its signature grows from this.

Spark keeps attributes (names of values, sizes and names of a vector's elements) in the metadata of
columns and does not save them; they are derived again, stage by stage.

Source: org.apache.spark.ml.attribute.{Attribute, AttributeGroup}, 4.3.0.
"""

from __future__ import annotations

import enum
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, overload

from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field, Part, Signature
from hydro_runtimes.spark.data.batch import InputColumn, Transformer
from hydro_runtimes.spark.data.session_conf import SessionConf
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql.types import SqlType

NUMBERS = (DataType.FLOAT64, DataType.FLOAT32, DataType.INT32, DataType.INT64, DataType.BOOL)
ANY = DataType.JSON
"""The type of a column whose type the saved pipeline does not tell: it may be any."""


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
"""Of two that read a column, the later one counts."""
MAX_NAMES = 1000
"""The most names of values that a signature tells."""
MAX_SLOTS = 1 << 20
"""The most elements of a vector of which names are kept."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An element of a vector, as AttributeGroup has it."""

    name: str | None = None
    values: int | None = None
    """The number of values of a nominal element; None where it is numeric."""
    nominal: tuple[str, ...] = ()
    """Their names, where they have any."""


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column at one point of the pipeline."""

    type: DataType
    shape: tuple[int, ...] = ()
    nominal: tuple[str, ...] = ()
    """The names of the values of a nominal scalar."""
    slots: Sequence[Slot] | None = None
    """The elements of a vector, where they have attributes."""
    values: int | None = None
    """The number of values of a nominal scalar."""
    reading: Reading = Reading.ANY
    """Where the type is not known."""
    parts: tuple[str, ...] = ()
    """The columns that a vector is assembled from, where some may be numbers or vectors."""
    form: str = ""
    """The assembled column that has elements stored where Spark stores this one's."""
    sql: SqlType | None = None
    """The type in SQL, where a statement made the column."""

    @property
    def size(self) -> int | None:
        """The size of a vector; None where it is not known, or where this is no vector."""
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


def vector_info(size: int | None, slots: Sequence[Slot] | None = None) -> ColumnInfo:
    """A vector of this size; None where it is not known."""
    return ColumnInfo(DataType.FLOAT64, (-1 if size is None else size,), slots=slots)


@dataclass
class Schema:
    """The columns as they are after the stages loaded so far."""

    load_stage: Callable[[Saved, Schema, str], Transformer]
    """Loads a stage and brings a schema to what it is after it; the text says which stage it is."""
    stated: Mapping[str, ColumnInfo] = field(default_factory=dict)
    """What is known beforehand of columns that may come in."""
    session: SessionConf = field(default_factory=SessionConf)
    inputs: dict[str, ColumnInfo] = field(default_factory=dict)
    """What the pipeline reads from outside."""
    columns: dict[str, ColumnInfo] = field(default_factory=dict)
    added: dict[str, bool] = field(default_factory=dict)
    """The columns that stages added, in order; True where it may be missing."""
    parts: list[Part] = field(default_factory=list)
    """All stages loaded so far, those that hold others before them; shared by copies."""
    nested: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Inputs that are fields of others, such as s.a: the column and the names of the fields."""
    _closed: bool = False
    _optional: set[str] = field(default_factory=set)
    _sources: dict[str, str] = field(default_factory=dict)
    """For a column that may be missing: the optional input that it is made from."""

    @property
    def is_open(self) -> bool:
        """A column that no stage made may still be read from outside."""
        return not self._closed

    def require(self, stage: Saved, name: str, wanted: ColumnInfo) -> ColumnInfo:
        """What is known of a column that a stage reads; an input if no stage made it.

        Raises:
            InvalidModel: an earlier stage makes it, or needs it, as something else.
        """
        self._mark_required(name)
        known = self.columns.get(name)
        if known is None and self._closed:
            raise stage.invalid(f"column '{name}' was left out by an earlier SELECT")
        known = known or self.stated.get(name)
        if known is None:
            merged = wanted
        elif (merged_or_none := _merge_info(known, wanted)) is not None:
            merged = merged_or_none
        else:
            raise stage.invalid(f"column '{name}' is {_describe(known)}, want {_describe(wanted)}")
        self.columns[name] = merged
        if name not in self.added and not self._is_nested(name):
            self.inputs[name] = merged
        return merged

    def _is_nested(self, name: str) -> bool:
        """The name is that of a field of an input, such as s.a: the input is read instead."""
        if name in self.nested:
            return True
        column, *fields = name.split(".")
        if not fields or name in self.inputs or name in self.stated or column in self.added:
            return False
        self.nested[name] = (column, *fields)
        self.columns[column] = self.inputs[column] = self.stated.get(column, SQL)
        return True

    def require_features(self, stage: Saved, size: int) -> InputColumn:
        """The column of vectors of this size that a model reads, named by featuresCol."""
        source = InputColumn(stage.uid, stage.text("featuresCol", "features"))
        self.require(stage, source.name, vector_info(size))
        return source

    def add_prediction(self, stage: Saved, known: ColumnInfo | None = None) -> str:
        """The name of the prediction column, added if it is wanted (not "")."""
        name = stage.text("predictionCol", "prediction")
        if name:
            self.add_column(name, known or NUMBER)
        return name

    def read_optional(self, name: str, wanted: ColumnInfo) -> ColumnInfo:
        """As `want` for a column that a stage runs without."""
        known = self.columns.get(name)
        if known is not None:
            return known
        self.columns[name] = self.stated.get(name, wanted)
        if not self._is_nested(name):
            self._optional.add(name)
            self.inputs[name] = self.columns[name]
        return self.columns[name]

    def require_parts(self, stage: Saved, name: str) -> ColumnInfo:
        """Takes the parts of an assembled vector of which nothing is known for numbers.

        An element that is asked for by the name of a column can only be a number.
        """
        known = self.columns[name]
        for part in known.parts:
            if self.columns[part].type is ANY:
                self.require(stage, part, NUMBER)
        if known.parts:
            slots = join_slots([slots_of(part, self.columns[part]) for part in known.parts])
            self.columns[name] = replace(vector_info(len(slots), slots), form=known.form)
        return self.columns[name]

    def set_size(self, name: str, size: int) -> None:
        """The size of the vectors in a column, which may hold others if it is an input."""
        self.columns[name] = replace(self.columns[name], shape=(size,))

    def is_optional(self, name: str) -> bool:
        """Whether the column may be missing when the pipeline runs."""
        return name in self._optional or name in self._sources

    def add_column(self, name: str, known: ColumnInfo, source: str | None = None) -> None:
        """A column that a stage makes; `source` where it is left out with that column."""
        optional = source is not None and self.is_optional(source)
        self._sources.pop(name, None)
        if optional and source is not None:
            self._sources[name] = self._sources.get(source, source)
        self.added[name] = optional
        self.columns[name] = known

    def load_nested(self, stage: Saved, position: str) -> Transformer:
        """Loads a stage that another holds.

        Args:
            stage: as it was saved.
            position: which it is, for messages: "stage 2 of 'PipelineModel_ab'".

        Raises:
            InvalidModel, UnsupportedStage: as `hydro_runtimes.spark.registry.load_stage`.
        """
        return self.load_stage(stage, self, position)

    def copy(self) -> Schema:
        """A schema to try a stage on."""
        return Schema(
            self.load_stage,
            self.stated,
            self.session,
            dict(self.inputs),
            dict(self.columns),
            dict(self.added),
            self.parts,
            dict(self.nested),
            self._closed,
            set(self._optional),
            dict(self._sources),
        )

    def take_inputs_of(self, other: Schema) -> None:
        """Takes over what a copy learned of the columns that are read, not what it makes."""
        self.inputs, self.nested = other.inputs, other.nested
        self._optional, self._sources = other._optional, other._sources
        read = other.inputs.keys() | self.columns.keys()
        self.columns = {name: other.columns[name] for name in other.columns if name in read}

    def keep_only(self, names: Iterable[str]) -> None:
        """Only the columns of these names remain; what else came in cannot be read any more."""
        kept = set(names)
        self.drop_columns([name for name in self.columns if name not in kept])
        self._closed = True

    def drop_columns(self, names: Sequence[str]) -> None:
        """Columns that a stage takes away."""
        for name in names:
            self.added.pop(name, None)
            self.columns.pop(name, None)

    def signature(self) -> Signature:
        """The inputs in the order in which they are first read, the outputs as they are made."""
        inputs = tuple(
            Field(name, known.type, known.shape, nullable=True, optional=name in self._optional)
            for name, known in self.inputs.items()
        )
        outputs = tuple(
            Field(
                name,
                self.columns[name].type,
                self.columns[name].shape,
                nullable=True,
                optional=name in self._sources,
                replaces=name in self.inputs,
                nominal=self.columns[name].nominal if self._are_few(name) else (),
            )
            for name in self.added
        )
        return Signature(inputs, outputs, absent_is_null=True, ignores_case=True)

    def _are_few(self, name: str) -> bool:
        return len(self.columns[name].nominal) <= MAX_NAMES

    def _mark_required(self, name: str) -> None:
        source = self._sources.get(name, name)
        self._optional.discard(source)
        self._sources = {made: root for made, root in self._sources.items() if root != source}


def stated_info(field: Field) -> ColumnInfo:
    """What is known of a column as it is stated beside a model."""
    if field.elements:
        return vector_info(len(field.elements), tuple(map(Slot, field.elements)))
    return ColumnInfo(field.type, field.shape, field.nominal, values=len(field.nominal) or None)


def how_to_state(name: str, **entry: Any) -> str:
    """How to state what the save does not tell of an input, for a message."""
    line = json.dumps({"inputs": [{"name": name, **entry}]}, ensure_ascii=False)
    return f"state it beside the model in metadata.json: {line}"


def slots_of(name: str, known: ColumnInfo) -> Sequence[Slot]:
    """The elements that a column of known size has in an assembled vector.

    Source: org.apache.spark.ml.feature.VectorAssembler.transform, 4.3.0.
    """
    if not known.shape:
        return (Slot(name, known.values, known.nominal),)
    if (known.size or 0) > MAX_SLOTS:
        return ()
    slots = known.slots
    if not slots:
        return LazySlots(known.size or 0, lambda i: Slot(f"{name}_{i}"))

    def slot(i: int) -> Slot:
        own = slots[i]
        return replace(own, name=f"{name}_{i if own.name is None else own.name}")

    return LazySlots(len(slots), slot)


def join_slots(parts: Sequence[Sequence[Slot]]) -> Sequence[Slot]:
    """The elements of vectors, one after the other."""
    ends = list(accumulate(map(len, parts)))

    def slot(i: int) -> Slot:
        part = bisect_right(ends, i)
        return parts[part][i - ends[part]]  # counted from the part's end

    return LazySlots(ends[-1] if ends else 0, slot)


class LazySlots(Sequence[Slot]):
    """Elements that are made when they are asked for: few pipelines ask, and some have millions."""

    def __init__(self, size: int, slot: Callable[[int], Slot]) -> None:
        """`slot` makes one from its index, 0 to below the size."""
        self._size, self._slot = size, slot

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Slot: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Slot]: ...
    def __getitem__(self, index: int | slice) -> Slot | Sequence[Slot]:
        if isinstance(index, slice):
            return [self._slot(i) for i in range(*index.indices(self._size))]
        at = index + self._size if index < 0 else index
        if not 0 <= at < self._size:
            raise IndexError(index)
        return self._slot(at)


def _merge_info(known: ColumnInfo, wanted: ColumnInfo) -> ColumnInfo | None:
    if wanted.type is ANY:
        # What reads exact types comes first; whether names of numbers are numbers is kept.
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


def _describe(known: ColumnInfo) -> str:
    match known.shape:
        case ():
            return known.type.value
        case (-1,):
            return f"a list or vector of {known.type.value}"
    return f"{known.type.value} of shape {known.shape}"
