"""A folder that Spark saved as an evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
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
from hydro_runtimes.spark.data.sql_columns import SMALL_TYPES
from hydro_runtimes.spark.format.saved import open_stage
from hydro_runtimes.spark.format.tables import release_memory
from hydro_runtimes.spark.registry import load_stage
from hydro_runtimes.spark.sql.errors import StatementError

_QUIET = copy_context()
"""In which numpy tells nothing of NaN and infinity: to enter a copy takes a tenth of errstate."""
_QUIET.run(np.seterr, all="ignore")


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
    reads_json: bool = field(init=False)
    """Some inputs come as JSON, so that their values tell their types."""
    output_names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        reads_json = any(each.type is DataType.JSON for each in self.signature.inputs)
        object.__setattr__(self, "reads_json", reads_json)
        names = tuple(each.name for each in self.signature.outputs)
        object.__setattr__(self, "output_names", names)

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`."""
        fields = self.signature.inputs
        columns = inputs.add_missing_columns(columns, fields)
        if not self.reads_json:
            batch = inputs.batch_of_columns(columns, fields, self.readers)
            return self._evaluate_batch(batch, columns.rows)
        groups = inputs.group_rows(columns, fields, self.readers)
        if len(groups) == 1:
            return self._evaluate_group(groups[0])
        parts = [
            (each.rows, self._evaluate_group(each)) for each in groups if each.rows is not None
        ]
        return merge_groups(parts, columns.rows)

    def _evaluate_group(self, group: Group) -> Evaluation:
        batch = _QUIET.copy().run(inputs.batch_of_group, group, self.signature.inputs, self.readers)
        return self._evaluate_batch(batch, group.columns.rows)

    def _evaluate_batch(self, batch: Batch, rows: int) -> Evaluation:
        """The answers to the rows of the batch; `rows` counts those that have failed, too."""
        if batch.failures and not batch.rows:  # columns of no value have no shape that stages know
            return Evaluation({}, batch.failures)
        try:
            batch = _QUIET.copy().run(self.stage.transform, batch)
        except WrongColumn as error:
            return Evaluation({}, dict.fromkeys(range(rows), error.failure))
        columns = batch.columns
        if not self.spreads:
            columns = {name: columns[name] for name in self.output_names if name in columns}
        return Evaluation(columns, batch.failures or {})


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
    typed = [each for each in stated if each.type is not DataType.JSON or each.sql]
    try:
        known = {each.name: stated_info(each) for each in typed}
    except StatementError as error:
        raise InvalidModel(folder, f"metadata.json: {error}") from error
    schema = Schema(load_stage, known, session or SessionConf())
    stage = _QUIET.copy().run(load_stage, open_stage(folder), schema, "the model")
    release_memory()
    readings = {name: known.reading for name, known in schema.inputs.items()}
    types = {name: known.sql for name, known in schema.inputs.items() if known.sql is not None}
    small = {name: kind for name, kind in types.items() if kind in SMALL_TYPES}
    readers = Readers(readings, types, schema.session.reading_mode, small)
    parts = tuple(schema.parts)
    return SparkEvaluator(schema.signature(), stage, readers, schema.spreads, parts)
