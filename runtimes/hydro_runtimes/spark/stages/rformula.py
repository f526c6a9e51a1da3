"""RFormula: the pipeline that a formula was turned into, and the label."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hydro_runtimes.spark.data.batch import Batch, InputColumn, Transformer
from hydro_runtimes.spark.data.column_info import NUMBER
from hydro_runtimes.spark.data.element_attributes import ElementAttribute
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import read_scalar
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class RFormulaModel:
    """Evaluates the pipeline of the formula; a numeric label is copied if the request has it.

    Source: org.apache.spark.ml.feature.RFormulaModel, 4.3.0.
    """

    pipeline: Transformer
    label: InputColumn
    output: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> RFormulaModel:
        pipeline = schema.load_nested(
            saved.open_child("pipelineModel"), f"the model of '{saved.uid}'"
        )
        name, output = saved.table().value("label"), saved.text("labelCol", "label")
        if not isinstance(name, str):
            raise saved.invalid("has no label")
        if name and output not in schema.columns:
            schema.read_optional(saved, name, NUMBER)
            schema.add_column(output, NUMBER, source=name)
        return cls(pipeline, InputColumn(saved.uid, name), output)

    def transform(self, batch: Batch) -> Batch:
        batch = self.pipeline.transform(batch)
        if self.output in batch.columns or self.label.name not in batch.columns:
            return batch
        return batch.with_columns({self.output: read_scalar(batch, self.label)})


@dataclass(frozen=True)
class VectorAttributeRewriter:
    """Renames the elements of a vector; their values stay.

    Source: org.apache.spark.ml.feature.VectorAttributeRewriter, 4.3.0.
    """

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> VectorAttributeRewriter:
        table = saved.table()
        column, prefixes = table.value("vectorCol"), table.value("prefixesToRewrite")
        if not isinstance(column, str) or not isinstance(prefixes, list):
            raise table.invalid("has no column or no prefixes")
        known = schema.columns.get(column)
        if known is not None and known.attributes is not None:
            attributes = tuple(
                _rewrite_name(attribute, dict(prefixes)) for attribute in known.attributes
            )
            schema.columns[column] = replace(known, attributes=attributes)
        return cls()

    def transform(self, batch: Batch) -> Batch:
        return batch


@dataclass(frozen=True)
class ColumnPruner:
    """Removes columns.

    Source: org.apache.spark.ml.feature.ColumnPruner, 4.3.0.
    """

    pruned: frozenset[str]

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> ColumnPruner:
        pruned = saved.table().text_list("columnsToPrune")
        schema.drop_columns(pruned)
        return cls(frozenset(pruned))

    def transform(self, batch: Batch) -> Batch:
        return batch.select([name for name in batch.columns if name not in self.pruned])


def _rewrite_name(attribute: ElementAttribute, prefixes: dict[str, str]) -> ElementAttribute:
    """Replaces prefixes in the name of an element; in a product's name they stand inside, too."""
    name = attribute.name
    for prefix, new in prefixes.items():
        name = name if name is None else name.replace(prefix, new)
    return replace(attribute, name=name)
