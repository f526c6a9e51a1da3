"""Categories, given as numbers, to vectors or other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.schema import (
    MAX_SLOTS,
    NUMBER,
    ColumnInfo,
    LazySlots,
    Schema,
    Slot,
    how_to_state,
    vector_info,
)
from hydro_runtimes.spark.data.vectors import (
    Vectors,
    map_each_size,
    read_scalar,
    read_vectors,
    row_ids,
)
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql import java_text


@dataclass(frozen=True)
class OneHotEncoderModel:
    """A vector with 1 at the category, truncated to a whole number; null stays null.

    keep: a category is added for what is not known. dropLast: the last category (with keep, the
    added one) is all zeros.

    Source: org.apache.spark.ml.feature.OneHotEncoderModel, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[str, ...]
    categories: tuple[int, ...]
    sizes: tuple[int, ...]
    keep: bool

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> OneHotEncoderModel:
        _, sizes = saved.table().lists("categorySizes")
        keep = saved.text("handleInvalid", "error") == "keep"
        return cls(*_declare_one_hot(saved, schema, tuple(sizes.tolist()), keep), keep)

    def transform(self, batch: Batch) -> Batch:
        for source, output, categories, size in zip(
            self.inputs, self.outputs, self.categories, self.sizes, strict=True
        ):
            batch = self._encode(batch, source, output, categories, size)
        return batch

    def _encode(
        self, batch: Batch, source: InputColumn, output: str, categories: int, size: int
    ) -> Batch:
        column = read_scalar(batch, source)
        valid = np.ones(column.rows, bool) if column.validity is None else column.validity
        known = (column.values >= 0) & (column.values < categories)
        bad = np.flatnonzero(valid & self._is_invalid(column.values, known))
        if len(bad):
            wanted = f"want a category from 0 to {categories - 1}"
            failures = {
                row: source.invalid_row(f"got {column.values[row]}, {wanted}")
                for row in bad.tolist()
            }
            return self._encode(batch.without_rows(failures), source, output, categories, size)
        index = np.where(known, column.values, categories).astype(np.int32)
        stored = valid & (index < size)
        offsets = np.concatenate(([0], np.cumsum(stored)))
        ones = np.ones(int(offsets[-1]))
        return batch.with_columns(
            {output: Sparse(size, offsets, index[stored], ones, column.validity)}
        )

    def _is_invalid(self, values: Array, known: Array) -> Array:
        return np.zeros(len(values), bool) if self.keep else ~known


class OneHotEncoder(OneHotEncoderModel):
    """The transformer of Spark 2: as many categories as the input column has names of values.

    What lies above them, and NaN, gives zeros; what lies below is refused.

    Source: org.apache.spark.ml.feature.OneHotEncoder, 2.4.8.
    """

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> OneHotEncoder:
        sizes = []
        for column in saved.columns("inputCol", "inputCols"):
            count = schema.require(saved, column, NUMBER).values
            if count is None:
                message = f"column '{column}' does not tell its number of categories"
                if column in schema.inputs:
                    line = how_to_state(column, type="float64", nominal=["<name of 0>", "..."])
                    message = f"{message}: {line}"
                raise saved.invalid(message)
            sizes.append(count)
        return cls(*_declare_one_hot(saved, schema, tuple(sizes), False), False)

    def _is_invalid(self, values: Array, known: Array) -> Array:
        return np.asarray(values <= -1)


@dataclass(frozen=True)
class TargetEncoderModel:
    """The mean of the label in a category, smoothed by the mean of all.

    Source: org.apache.spark.ml.feature.TargetEncoderModel, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[str, ...]
    encodings: tuple[dict[float, float], ...]
    """By category; -1 for null."""
    others: tuple[float, ...]
    keep: bool

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> TargetEncoderModel:
        inputs = tuple(
            InputColumn(saved.uid, name) for name in saved.columns("inputCol", "inputCols")
        )
        outputs = saved.columns("outputCol", "outputCols")
        tables = _target_tables(saved, len(inputs))
        if len(inputs) != len(outputs):
            raise saved.invalid(f"has {len(inputs)} input and {len(outputs)} output columns")
        for source, output in zip(inputs, outputs, strict=True):
            schema.require(saved, source.name, NUMBER)
            schema.add_column(output, NUMBER)
        keep = saved.text("handleInvalid", "error") == "keep"
        others = tuple(table[_UNSEEN] for table in tables)
        return cls(inputs, outputs, tables, others, keep)

    def transform(self, batch: Batch) -> Batch:
        for source, output, table, other in zip(
            self.inputs, self.outputs, self.encodings, self.others, strict=True
        ):
            column = read_scalar(batch, source)
            values = (
                column.values
                if column.validity is None
                else (np.where(column.validity, column.values, _NULL))
            )
            found = [table.get(value) for value in values.tolist()]
            failures = {}
            if not self.keep:
                failures = {
                    row: source.invalid_row(
                        f"got the unseen category {_show_category(values[row])}"
                    )
                    for row, value in enumerate(found)
                    if value is None
                }
            encoded = [other if value is None else value for value in found]
            batch = batch.with_columns({output: Dense(np.array(encoded, dtype=np.float64))})
            batch = batch.without_rows(failures)
        return batch


@dataclass(frozen=True)
class VectorIndexerModel:
    """The index of the value of each categorical element; the others stay.

    Source: org.apache.spark.ml.feature.VectorIndexerModel, 4.3.0.
    """

    input: InputColumn
    output: str
    size: int
    maps: dict[int, tuple[Array, Array]]
    """For a categorical element: its values, ascending, and their indices; both float64."""
    invalid: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> VectorIndexerModel:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        table, invalid = saved.table(), saved.text("handleInvalid", "error")
        size = int(table.number("numFeatures"))
        maps: dict[int, tuple[Array, Array]] = {}
        try:
            for element, pairs in dict(table.value("categoryMaps")).items():
                values = sorted((float(value), float(index)) for value, index in pairs)
                known = np.array(values, dtype=np.float64).reshape(-1, 2)
                maps[int(element)] = (known[:, 0], known[:, 1])
        except (TypeError, ValueError) as error:
            raise table.invalid("categoryMaps is no map of maps") from error
        if not all(0 <= element < size for element in maps):
            raise table.invalid(f"categoryMaps has elements outside 0 to {size - 1}")
        given = schema.require(saved, source.name, vector_info(size))
        slots = given.slots or (Slot(),) * size
        made = vector_info(
            size,
            tuple(
                _indexed_slot(slot, maps.get(element), invalid == "keep")
                for element, slot in enumerate(slots)
            ),
        )
        schema.add_column(output, replace(made, form=given.form))
        return cls(source, output, size, maps, invalid)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.input, self.size)
        bad: dict[int, str] = {}
        indexed = map_each_size(self.input, column, lambda part: self._index_elements(part, bad))
        failures = {
            row: self.input.refused_row(message, self.invalid == "skip")
            for row, message in bad.items()
        }
        return batch.with_columns({self.output: indexed}).without_rows(failures)

    def _index_elements(self, column: Vectors, bad: dict[int, str]) -> Vectors:
        """The indices; notes the rows at fault in `bad`."""
        values = column.values.copy()
        for element, (known, index) in self.maps.items():
            if isinstance(column, Sparse):
                at: Array = np.flatnonzero(column.indices == element)
                rows = row_ids(column.offsets)[at]
                given = column.values[at]
            else:
                given, rows = column.values[:, element], np.arange(column.rows)
            place = np.minimum(np.searchsorted(known, given), max(len(known) - 1, 0))
            hit = known[place] == given
            made = np.where(hit, index[place], float(len(known)))
            if self.invalid != "keep":
                for i in np.flatnonzero(~hit).tolist():
                    message = f"got {given[i]} in element {element}, which is no category of it"
                    bad.setdefault(int(rows[i]), message)
            if isinstance(column, Sparse):
                values[at] = made
            else:
                values[:, element] = made
        if isinstance(column, Sparse):
            return Sparse(column.size, column.offsets, column.indices, values)
        return Dense(values)


def _indexed_slot(slot: Slot, known: tuple[Array, Array] | None, keep: bool) -> Slot:
    """Nominal by the values of an element, with keep one more for all that are not known.

    Two without keep are a binary attribute, which Spark takes as a number.
    """
    if known is None or (len(known[0]) == 2 and not keep):
        return Slot(slot.name)
    values = known[0][np.argsort(known[1])].tolist()
    names = tuple(java_text.decimal(repr(value)) for value in values)
    return Slot(slot.name, len(values) + keep, (*names, "__unknown")[: len(values) + keep])


_NULL = -1.0
_UNSEEN = 2147483647.0


def _declare_one_hot(
    saved: Saved, schema: Schema, categories: tuple[int, ...], keep: bool
) -> tuple[tuple[InputColumn, ...], tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    inputs = tuple(InputColumn(saved.uid, name) for name in saved.columns("inputCol", "inputCols"))
    outputs = saved.columns("outputCol", "outputCols")
    if not len(inputs) == len(outputs) == len(categories) or min(categories, default=1) < 0:
        raise saved.invalid("differs in its numbers of input columns, output columns, sizes")
    sizes = tuple(
        max(0, count + int(keep) - int(saved.flag("dropLast", True))) for count in categories
    )
    for source, output, count, size in zip(inputs, outputs, categories, sizes, strict=True):
        known = schema.require(saved, source.name, NUMBER)
        schema.add_column(output, vector_info(size, _category_slots(known, count, size)))
    return inputs, outputs, categories, sizes


def _category_slots(known: ColumnInfo, categories: int, size: int) -> Sequence[Slot] | None:
    """The names of the values, else their numbers; what is in no category comes last, if kept."""
    if size > MAX_SLOTS:
        return None
    names = known.nominal

    def slot(i: int) -> Slot:
        if i >= categories:
            return Slot("invalidValues")
        return Slot(names[i] if i < len(names) else str(i))

    return LazySlots(min(size, categories + 1), slot)


def _target_tables(saved: Saved, columns: int) -> tuple[dict[float, float], ...]:
    table = saved.table(key=("index",))
    smoothing = saved.number("smoothing", 0.0)
    is_binary = saved.text("targetType", "binary") == "binary"
    places = table.numbers("index").tolist()
    if sorted(places) != list(range(columns)):
        raise table.invalid(f"has rows for the columns {sorted(places)}, want {columns} columns")
    (ends, categories), (ends2, counts) = table.lists("categories"), table.lists("counts")
    ends3, stats = table.lists("stats")
    if not (np.array_equal(ends, ends2) and np.array_equal(ends, ends3)):
        raise table.invalid("categories, counts and stats differ in length")
    tables: dict[int, dict[float, float]] = {}
    for row, place in enumerate(places):
        part = slice(ends[row], ends[row + 1])
        means = stats[part] / counts[part] if is_binary else stats[part]
        total = np.flatnonzero(categories[part] == _UNSEEN)
        if len(total) != 1:
            raise table.invalid("has no statistics of all rows")
        weight = counts[part] / (counts[part] + smoothing)
        encoded = weight * means + (1 - weight) * means[total[0]]
        encoded[total[0]] = means[total[0]]
        tables[place] = dict(zip(categories[part].tolist(), encoded.tolist(), strict=True))
    return tuple(tables[place] for place in range(columns))


def _show_category(value: float) -> str:
    return "null" if value == _NULL else repr(float(value))
