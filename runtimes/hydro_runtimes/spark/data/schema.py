"""What is known of all columns while a pipeline is loaded; its signature comes from this.

Spark keeps attributes (names of values, sizes and names of a vector's elements) in the metadata of
columns and does not save them, so they are derived again, stage by stage.

Source: org.apache.spark.ml.attribute.{Attribute, AttributeGroup}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hydro_runtimes.evaluator import Field, ModelStage, Signature
from hydro_runtimes.spark.data.batch import InputColumn, Transformer
from hydro_runtimes.spark.data.column_info import (
    ANY,
    NUMBER,
    NUMERIC,
    SQL,
    ColumnInfo,
    describe_info,
    element_attributes_of,
    field_info,
    merge_infos,
    vector_info,
)
from hydro_runtimes.spark.data.column_names import Path, Renaming, matching_names, parse_name
from hydro_runtimes.spark.data.element_attributes import join_attributes
from hydro_runtimes.spark.data.session_conf import SessionConf
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
    parts: list[ModelStage] = field(default_factory=list)
    """All stages loaded so far, a stage before those that it holds; shared by copies."""
    spreads: bool = False
    """Columns were added whose names are not known: the fields of a struct."""
    _names: dict[str, Path] = field(default_factory=dict)
    """What the stage that is being loaded calls columns of other names, and fields of them."""
    _replaced: set[str] = field(default_factory=set)
    """Columns that the stage replaces by one whose name differs in case alone."""
    _fields: set[str] = field(default_factory=set)
    """Fields of a struct, added without their names, that the stage reads."""
    _closed: bool = False
    _replaces: set[str] = field(default_factory=set)
    """Added columns that take the place of what a request has under their names."""
    _unchanged: set[str] = field(default_factory=set)
    """Those of them that are inputs as they came in."""
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
        column, *fields = self._resolve(stage, name)
        if not fields:
            known = self.require_column(stage, column, wanted)
        else:
            known = self._require_field(stage, column, fields, wanted)
        if (column, *fields) != (name,):
            self._names[name] = (column, *fields)
            self.columns[name] = known
        return known

    def require_column(self, stage: Saved, name: str, wanted: ColumnInfo) -> ColumnInfo:
        """As `require`, of a column of exactly this name."""
        self._mark_required(name)
        known = self.columns.get(name)
        if self.spreads and (known is None or name in self._fields):
            self._fields.add(name)
            self._names[name] = (name,)  # as the struct has it, where case may differ
        elif known is None and self._closed:
            raise stage.invalid(f"column '{name}' was left out by an earlier SELECT")
        merged = _merge_wanted(stage, name, known or self.stated.get(name), wanted)
        self.columns[name] = merged
        is_input = name not in self.added and name not in self._fields
        if is_input or name in self._unchanged:
            self.inputs[name] = merged
        return merged

    @property
    def may_have_more(self) -> bool:
        """Whether columns may be read that no stage is known to add."""
        return self.is_open or self.spreads

    def _resolve(self, stage: Saved, name: str) -> Path:
        """The column, and the fields of it, that a stage's name stands for."""
        if name in self._names:
            return self._names[name]
        columns = [*(self.columns.keys() - self._names.keys()), *self.stated]
        if name in columns:
            return (name,)
        column, *fields = parse_name(name)
        found = list(dict.fromkeys(matching_names(column, columns)))
        if len(found) > 1:
            raise stage.invalid(f"column '{name}' is ambiguous: {', '.join(sorted(found))}")
        return (found[0] if found else column, *fields)

    def _require_field(
        self, stage: Saved, column: str, fields: Sequence[str], wanted: ColumnInfo
    ) -> ColumnInfo:
        known = self.columns.get(column)
        if known is None or column not in self.added:
            known = self.require_column(stage, column, SQL)
        return _merge_wanted(stage, column, field_info(known, fields), wanted)

    def begin_stage(self) -> tuple[dict[str, Path], set[str]]:
        """Begins to load a stage; the answer is for `end_stage`."""
        before = self._names, self._replaced
        self._names, self._replaced = {}, set()
        return before

    def end_stage(
        self, stage: Transformer, before: tuple[dict[str, Path], set[str]]
    ) -> Transformer:
        """The stage, with the columns under the names that it has for them."""
        names, replaced = self._names, self._replaced
        added = names.keys() & self.added.keys()
        for name, path in names.items():
            if name not in added:
                self._rename_back(name, path)
        self._names, self._replaced = before
        if not names and not replaced:
            return stage
        return Renaming(stage, names, frozenset(added), frozenset(replaced))

    def _rename_back(self, name: str, path: Path) -> None:
        known = self.columns.pop(name)
        self._fields.discard(name)
        if len(path) > 1 or path[0] not in self.columns:
            return
        self.columns[path[0]] = known
        if path[0] in self.inputs and (path[0] not in self.added or path[0] in self._unchanged):
            self.inputs[path[0]] = known

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

    def read_optional(self, stage: Saved, name: str, wanted: ColumnInfo) -> ColumnInfo:
        """As `require`, for a column without which the stage runs too."""
        column, *fields = self._resolve(stage, name)
        if fields:
            return self.require(stage, name, wanted)
        if column not in self.columns:
            self.add_optional(column, wanted)
        if name != column:
            self._names[name] = (column,)
            self.columns[name] = self.columns[column]
        return self.columns[column]

    def add_optional(self, name: str, wanted: ColumnInfo) -> None:
        """Adds an input of exactly this name that a request may lack."""
        self.columns[name] = self.inputs[name] = self.stated.get(name, wanted)
        self._optional.add(name)

    def require_parts(self, stage: Saved, name: str) -> ColumnInfo:
        """Declares those parts of an assembled vector of which nothing is known as numbers.

        A stage that needs the names of a vector's elements can only name columns of numbers.
        """
        known = self.columns[name]
        if known.parts:
            attributes = join_attributes(
                [element_attributes_of(part, self._part(stage, part)) for part in known.parts]
            )
            self.columns[name] = replace(vector_info(len(attributes), attributes), form=known.form)
        return self.columns[name]

    def _part(self, stage: Saved, name: str) -> ColumnInfo:
        known = self.require(stage, name, NUMERIC)
        return self.require(stage, name, NUMBER) if known.type is ANY else known

    def set_size(self, name: str, size: int) -> None:
        """Sets the size of the vectors in a column; an input may still hold others."""
        self.columns[name] = replace(self.columns[name], shape=(size,))

    def is_optional(self, name: str) -> bool:
        """Whether the column may be missing when the pipeline runs."""
        name = self._names.get(name, (name,))[0]
        return name in self._optional or name in self._sources

    def add_column(self, name: str, known: ColumnInfo, source: str | None = None) -> None:
        """Adds a column of a stage; it is left out where its optional `source` is missing."""
        optional = source is not None and self.is_optional(source)
        self._sources.pop(name, None)
        if optional and source is not None:
            source = self._names.get(source, (source,))[0]
            self._sources[name] = self._sources.get(source, source)
        if self._closed:
            self._replaces.add(name)
        self._unchanged.discard(name)
        self._drop_other_cases(name)
        self.added[name] = optional
        self.columns[name] = known

    def _drop_other_cases(self, name: str) -> None:
        """As Dataset.withColumn does."""
        others = self.columns.keys() - self._names.keys() - {name}
        replaced = [one for one in others if one.lower() == name.lower()]
        self._replaced.update(replaced)
        self.drop_columns(replaced)

    def add_unchanged(self, name: str) -> None:
        """Adds an input, as it came in, to the columns that stages add."""
        is_added = name in self.added
        self.add_column(name, self.columns[name])
        if not is_added:
            self._unchanged.add(name)

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
            self.spreads,
            _closed=self._closed,
            _replaces=set(self._replaces),
            _unchanged=set(self._unchanged),
            _optional=set(self._optional),
            _sources=dict(self._sources),
        )

    def take_inputs_of(self, other: Schema) -> None:
        """Takes over what a copy learned of the columns that are read, not those that it added."""
        self.inputs = other.inputs
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
                replaces=name in self.inputs or name in self._replaces,
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


def _merge_wanted(
    stage: Saved, name: str, known: ColumnInfo | None, wanted: ColumnInfo
) -> ColumnInfo:
    if known is None:
        return wanted
    merged = merge_infos(known, wanted)
    if merged is None:
        got, want = describe_info(known), describe_info(wanted)
        raise stage.invalid(f"column '{name}' is {got}, want {want}")
    return merged
