"""What is known of all columns while a pipeline is loaded; its signature comes from this.

Spark keeps attributes (names of values, sizes and names of a vector's elements) in the metadata of
columns and does not save them, so they are derived again, stage by stage.

Source: org.apache.spark.ml.attribute.{Attribute, AttributeGroup}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hydro_runtimes.evaluator import Field, Part, Signature
from hydro_runtimes.spark.data.batch import InputColumn, Transformer
from hydro_runtimes.spark.data.column_info import (
    ANY,
    NUMBER,
    SQL,
    ColumnInfo,
    describe_info,
    merge_infos,
    slots_of,
    vector_info,
)
from hydro_runtimes.spark.data.session_conf import SessionConf
from hydro_runtimes.spark.data.slots import join_slots
from hydro_runtimes.spark.format.saved import Saved

MAX_NAMES = 1000
"""The most names of values that a signature lists for a column."""


@dataclass
class Schema:
    """The columns as they are after the stages loaded so far."""

    load_stage: Callable[[Saved, Schema, str], Transformer]
    """`registry.load_stage`, which no stage may import; it brings the schema past the stage."""
    stated: Mapping[str, ColumnInfo] = field(default_factory=dict)
    """Columns whose types are stated beside the model."""
    session: SessionConf = field(default_factory=SessionConf)
    inputs: dict[str, ColumnInfo] = field(default_factory=dict)
    """The columns that the pipeline reads from a request."""
    columns: dict[str, ColumnInfo] = field(default_factory=dict)
    added: dict[str, bool] = field(default_factory=dict)
    """The columns that stages add, in order; True for one that may be missing."""
    parts: list[Part] = field(default_factory=list)
    """All stages loaded so far, a stage before those that it holds; shared by copies."""
    nested: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By name, inputs that are fields of others, such as s.a: the column, then the path."""
    _closed: bool = False
    _optional: set[str] = field(default_factory=set)
    _sources: dict[str, str] = field(default_factory=dict)
    """By column that may be missing, the optional input that it is made from."""

    @property
    def is_open(self) -> bool:
        """Whether a column that no stage adds may still be read from a request."""
        return not self._closed

    def require(self, stage: Saved, name: str, wanted: ColumnInfo) -> ColumnInfo:
        """What is known of a column that a stage reads; it is an input if no stage adds it.

        Args:
            stage: that reads it.
            name: of the column.
            wanted: what the stage needs it to be.

        Raises:
            InvalidModel: an earlier stage adds it, or needs it, as something else.
        """
        self._mark_required(name)
        known = self.columns.get(name)
        if known is None and self._closed:
            raise stage.invalid(f"column '{name}' was left out by an earlier SELECT")
        known = known or self.stated.get(name)
        if known is None:
            merged = wanted
        elif (merged_or_none := merge_infos(known, wanted)) is not None:
            merged = merged_or_none
        else:
            raise stage.invalid(
                f"column '{name}' is {describe_info(known)}, want {describe_info(wanted)}"
            )
        self.columns[name] = merged
        if name not in self.added and not self._is_nested(name):
            self.inputs[name] = merged
        return merged

    def _is_nested(self, name: str) -> bool:
        """Whether this is a field of an input, such as s.a; then the input itself is read."""
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
        """The name of the prediction column, which is added unless it is "" (not wanted)."""
        name = stage.text("predictionCol", "prediction")
        if name:
            self.add_column(name, known or NUMBER)
        return name

    def read_optional(self, name: str, wanted: ColumnInfo) -> ColumnInfo:
        """As `require`, for a column without which the stage runs too."""
        known = self.columns.get(name)
        if known is not None:
            return known
        self.columns[name] = self.stated.get(name, wanted)
        if not self._is_nested(name):
            self._optional.add(name)
            self.inputs[name] = self.columns[name]
        return self.columns[name]

    def require_parts(self, stage: Saved, name: str) -> ColumnInfo:
        """Declares those parts of an assembled vector of which nothing is known as numbers.

        A stage that needs the names of a vector's elements can only name columns of numbers.
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
        """Sets the size of the vectors in a column; an input may still hold others."""
        self.columns[name] = replace(self.columns[name], shape=(size,))

    def is_optional(self, name: str) -> bool:
        """Whether the column may be missing when the pipeline runs."""
        return name in self._optional or name in self._sources

    def add_column(self, name: str, known: ColumnInfo, source: str | None = None) -> None:
        """Adds a column of a stage; it is left out where its optional `source` is missing."""
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
        """A copy for a stage whose columns are not added to this schema."""
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
        """Takes over what a copy learned of the columns that are read, not those that it added."""
        self.inputs, self.nested = other.inputs, other.nested
        self._optional, self._sources = other._optional, other._sources
        read = other.inputs.keys() | self.columns.keys()
        self.columns = {name: other.columns[name] for name in other.columns if name in read}

    def keep_only(self, names: Iterable[str]) -> None:
        """Keeps only these columns; from now on no other column of a request can be read."""
        kept = set(names)
        self.drop_columns([name for name in self.columns if name not in kept])
        self._closed = True

    def drop_columns(self, names: Sequence[str]) -> None:
        """Removes columns that a stage drops."""
        for name in names:
            self.added.pop(name, None)
            self.columns.pop(name, None)

    def signature(self) -> Signature:
        """The signature: inputs in the order of their first reading, outputs in that of adding."""
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
