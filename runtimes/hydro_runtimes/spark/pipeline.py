"""A folder that Spark saved as an evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hydro_runtimes.columns import Columns, DataType
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluation, Field, ModelStage, Signature
from hydro_runtimes.spark.data import inputs
from hydro_runtimes.spark.data.batch import Batch, Transformer, WrongColumn
from hydro_runtimes.spark.data.column_info import stated_info
from hydro_runtimes.spark.data.inputs import Group, Readers
from hydro_runtimes.spark.data.merge_groups import merge_groups
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.session_conf import SessionConf
from hydro_runtimes.spark.format.saved import open_stage
from hydro_runtimes.spark.format.tables import release_memory
from hydro_runtimes.spark.registry import load_stage
from hydro_runtimes.spark.sql.errors import StatementError


@dataclass(frozen=True, slots=True)
class SparkEvaluator:
    """A loaded pipeline, model or transformer."""

    signature: Signature
    stage: Transformer
    readers: Readers
    """Of inputs that may be of any type."""
    spreads: bool
    """It makes columns that the signature does not tell: the fields of a struct."""
    parts: tuple[ModelStage, ...]
    """Its stages in the order of evaluation, it before those that it holds."""

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`."""
        columns = inputs.add_missing_columns(columns, self.signature.inputs)
        groups = inputs.group_rows(columns, self.signature.inputs, self.readers)
        if len(groups) == 1:
            return self._evaluate_group(groups[0])
        parts = [
            (each.rows, self._evaluate_group(each)) for each in groups if each.rows is not None
        ]
        return merge_groups(parts, columns.rows)

    def _evaluate_group(self, group: Group) -> Evaluation:
        try:
            batch = self._transform_group(group)
        except WrongColumn as error:
            return Evaluation({}, dict.fromkeys(range(group.columns.rows), error.failure))
        if self.spreads:
            return Evaluation(batch.columns, batch.failures or {})
        outputs = {
            field.name: batch.columns[field.name]
            for field in self.signature.outputs
            if field.name in batch.columns
        }
        return Evaluation(outputs, batch.failures or {})

    @np.errstate(all="ignore")  # a third of what the with statement costs
    def _transform_group(self, group: Group) -> Batch:
        fields = self.signature.inputs
        batch = inputs.batch_of_group(group, fields, self.readers)
        if batch.failures and not batch.rows:  # columns of no value have no shape that stages know
            return batch.select(())
        return self.stage.transform(batch)


def load(
    folder: Path, stated: Sequence[Field] = (), session: SessionConf | None = None
) -> SparkEvaluator:
    """The evaluator of a folder that Spark saved.

    Args:
        folder: of the model.
        stated: columns whose types are known from elsewhere; those that no stage reads count for
            nothing.
        session: what the session would have set.

    Raises:
        InvalidModel: it is not as Spark writes it, or the pipeline cannot work.
        UnsupportedStage: a stage is of a class that is not supported.
    """
    typed = [field for field in stated if field.type is not DataType.JSON or field.sql]
    try:
        known = {field.name: stated_info(field) for field in typed}
    except StatementError as error:
        raise InvalidModel(folder, f"metadata.json: {error}") from error
    schema = Schema(load_stage, known, session or SessionConf())
    with np.errstate(all="ignore"):
        stage = load_stage(open_stage(folder), schema, "the model")
    release_memory()
    readings = {name: known.reading for name, known in schema.inputs.items()}
    types = {name: known.sql for name, known in schema.inputs.items() if known.sql is not None}
    readers = Readers(readings, types, schema.session.reading_mode)
    parts = tuple(schema.parts)
    return SparkEvaluator(schema.signature(), stage, readers, schema.spreads, parts)
