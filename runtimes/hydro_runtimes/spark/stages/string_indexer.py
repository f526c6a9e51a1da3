"""Labels to indices, and indices to labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias

import numpy as np

from hydro_runtimes.columns import Array, Column, Dense, Strings
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import LABEL, NUMBER, TEXT, ColumnInfo, how_to_state
from hydro_runtimes.spark.data.column_texts import cast_to_texts
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import read_numbers
from hydro_runtimes.spark.data.vocabulary import Vocabulary
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql import java_text

Form: TypeAlias = int | Literal["double"] | None
"""The numbers that labels are texts of: decimals of this scale, or doubles."""
_DECIMAL = re.compile(r"-?\d+\.(\d+)")


@dataclass(frozen=True)
class StringIndexerModel:
    """The index of a label; a number is looked up by its text in Java.

    A column that the request lacks is skipped, as Spark does for the label of a model.

    Source: org.apache.spark.ml.feature.StringIndexerModel, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[str, ...]
    labels: tuple[Vocabulary, ...]
    forms: tuple[Form, ...]
    """The form of the labels, if they are texts of numbers."""
    invalid: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> StringIndexerModel:
        inputs = saved.columns("inputCol", "inputCols")
        outputs = saved.columns("outputCol", "outputCols")
        labels = _read_labels(saved)
        invalid = saved.text("handleInvalid", "error")
        if not len(inputs) == len(outputs) == len(labels):
            raise saved.invalid("differs in its numbers of input columns, output columns, labels")
        for name, output, values in zip(inputs, outputs, labels, strict=True):
            schema.read_optional(saved, name, _label_type(values))
            known = (*values, "__unknown") if invalid == "keep" else values
            schema.add_column(
                output, ColumnInfo(NUMBER.type, nominal=known, values=len(known)), source=name
            )
        sources = tuple(InputColumn(saved.uid, name) for name in inputs)
        forms = tuple(map(_number_form, labels))
        return cls(sources, outputs, tuple(map(Vocabulary, labels)), forms, invalid)

    def transform(self, batch: Batch) -> Batch:
        each = zip(self.inputs, self.outputs, self.labels, self.forms, strict=True)
        for source, output, known, form in each:
            if source.name in batch.columns:
                column = _as_labels(batch.columns[source.name], form)
                batch = self._add_indices(
                    batch, source, output, known, cast_to_texts(source, column)
                )
        return batch

    def _add_indices(
        self,
        batch: Batch,
        source: InputColumn,
        output: str,
        known: Vocabulary,
        labels: Sequence[str | None],
    ) -> Batch:
        codes = known.find_all(labels).astype(np.float64)
        if self.invalid == "keep":
            # The index after the last label stands for all that is unseen, null as well.
            codes[codes < 0] = len(known)
        if not (codes < 0).any():
            return batch.with_columns({output: Dense(codes)})
        failures = {}
        for row in np.flatnonzero(codes < 0).tolist():
            got = "null" if labels[row] is None else f"the unseen label '{labels[row]}'"
            failures[row] = source.refused_row(f"got {got}", self.invalid == "skip")
        return batch.with_columns({output: Dense(codes)}).without_rows(failures)


@dataclass(frozen=True)
class IndexToString:
    """The label of an index, which is truncated to a whole number.

    The labels are those of the param, or those that the input column has as attributes.

    Source: org.apache.spark.ml.feature.IndexToString, 4.3.0.
    """

    input: InputColumn
    output: str
    labels: tuple[str, ...]
    known: dict[float, str]
    """By index."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> IndexToString:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        known = schema.require(saved, source.name, NUMBER)
        labels = saved.texts("labels", ()) or known.nominal
        if not labels:
            message = f"has no labels, and column '{source.name}' brings none"
            if source.name in schema.inputs:
                line = how_to_state(
                    name=source.name, type="float64", nominal=["<label of 0>", "..."]
                )
                message = f"{message}: {line}"
            raise saved.invalid(message)
        schema.add_column(output, TEXT)
        by_index = {float(index): label for index, label in enumerate(labels)}
        return cls(source, output, labels, by_index)

    def transform(self, batch: Batch) -> Batch:
        batch, values = read_numbers(batch, self.input)
        try:
            # Nearly all indices are whole numbers that are there; the others cost a second look.
            labels = [self.known[value] for value in values.tolist()]
        except KeyError:
            return self._truncate_indices(batch, values)
        return batch.with_columns({self.output: Strings(labels)})

    def _truncate_indices(self, batch: Batch, values: Array) -> Batch:
        """Looks up truncated indices: as by (int) of Java, towards 0, and NaN to 0."""
        # (int) of NaN is 0 in Java.
        whole = np.trunc(np.where(np.isnan(values), 0.0, values))
        found = [self.known.get(value) for value in whole.tolist()]
        wanted = f"want 0 to {len(self.labels) - 1}"
        failures = {
            row: self.input.invalid_row(f"got the unseen index {whole[row]:.0f}, {wanted}")
            for row, label in enumerate(found)
            if label is None
        }
        labels = [label for label in found if label is not None]
        return batch.without_rows(failures).with_columns({self.output: Strings(labels)})


def _read_labels(saved: Saved) -> list[tuple[str, ...]]:
    """The labels of each column; before 3.0 there was one column only."""
    table = saved.table()
    if table.has_column("labelsArray"):
        return [tuple(labels) for labels in table.text_lists("labelsArray")]
    return [tuple(table.text_list("labels"))]


def _label_type(labels: tuple[str, ...]) -> ColumnInfo:
    """Any scalar if all labels may be texts of numbers or booleans; else texts."""
    return LABEL if labels and all(_is_value(label) for label in labels) else TEXT


def _number_form(labels: tuple[str, ...]) -> Form:
    """The form of the numbers that the labels are texts of; None if they are not."""
    if labels and all(map(_is_double, labels)):
        return "double"
    match = _DECIMAL.fullmatch(labels[0]) if labels else None
    if match is None:
        return None
    scale = len(match[1])
    decimal = re.compile(rf"-?\d+\.\d{{{scale}}}")
    return scale if all(map(decimal.fullmatch, labels)) else None


def _is_double(label: str) -> bool:
    try:
        return java_text.double_text(repr(float(label))) == label
    except ValueError:
        return False


def _as_labels(column: Column, form: Form) -> Column:
    """Numbers in the form of the labels: 5 is "5.0" for doubles and "5.00" for decimal(_, 2)."""
    if form is None or not isinstance(column, Dense) or column.values.dtype.kind not in "if":
        return column
    if form == "double":
        return Dense(column.values.astype(np.float64), column.validity)
    texts = [_fixed_point_text(value, form) for value in column.values.tolist()]
    return Strings(texts, column.validity)


def _fixed_point_text(value: float, scale: int) -> str:
    """The text with `scale` digits after the point, unless the number has more digits."""
    text = java_text.double_text(repr(value)) if isinstance(value, float) else str(value)
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return text
    fixed = f"{exact:.{scale}f}"
    # A number with more digits than the labels have is none of them, and must not be rounded to
    # one.
    return fixed if Decimal(fixed) == exact else text


def _is_value(label: str) -> bool:
    if label in ("true", "false"):
        return True
    try:
        float(label)
    except ValueError:
        return False
    return True
