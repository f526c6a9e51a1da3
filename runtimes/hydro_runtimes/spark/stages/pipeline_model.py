"""Stages made of other stages."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hydro_runtimes.columns import Array, Column, Dense
from hydro_runtimes.spark.data.batch import Batch, Transformer
from hydro_runtimes.spark.data.column_info import NUMBER, vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class PipelineModel:
    """Stages one after the other.

    Source: org.apache.spark.ml.PipelineModel, 4.3.0.
    """

    stages: tuple[Transformer, ...]

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> PipelineModel:
        return cls(
            tuple(
                schema.load_nested(stage, f"stage {index} of '{saved.uid}'")
                for index, stage in enumerate(saved.open_stages())
            )
        )

    def transform(self, batch: Batch) -> Batch:
        for stage in self.stages:
            batch = stage.transform(batch)
        return batch


@dataclass(frozen=True)
class _BestModel:
    best: Transformer

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> _BestModel:
        return cls(schema.load_nested(saved.open_child("bestModel"), f"the best of '{saved.uid}'"))

    def transform(self, batch: Batch) -> Batch:
        return self.best.transform(batch)


class CrossValidatorModel(_BestModel):
    """The best model of a search.

    Source: org.apache.spark.ml.tuning.CrossValidatorModel, 4.3.0.
    """


class TrainValidationSplitModel(_BestModel):
    """The best model of a search.

    Source: org.apache.spark.ml.tuning.TrainValidationSplitModel, 4.3.0.
    """


@dataclass(frozen=True)
class OneVsRestModel:
    """The class whose model has the largest raw score; -1 if all scores are NaN.

    Source: org.apache.spark.ml.classification.OneVsRestModel, 4.3.0.
    """

    models: tuple[Transformer, ...]
    scores: tuple[str, ...]
    """The rawPredictionCol of each model."""
    raw: str
    prediction: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> OneVsRestModel:
        count = saved.metadata_value("numClasses", int)
        if not 0 < count <= _MAX_CLASSES:
            raise saved.invalid(f"has {count} classes, want 1 to {_MAX_CLASSES}")
        features = saved.text("featuresCol", "features")
        models, scores = [], []
        for index in range(count):
            model = saved.open_child(f"model_{index}")
            model = replace(model, params={**model.params, "featuresCol": features})
            inner = schema.copy()
            models.append(inner.load_nested(model, f"model {index} of '{saved.uid}'"))
            scores.append(model.text("rawPredictionCol", "rawPrediction"))
            schema.take_inputs_of(inner)
        raw = saved.text("rawPredictionCol", "rawPrediction")
        prediction = saved.text("predictionCol", "prediction")
        if raw:
            schema.add_column(raw, vector_info(count))
        if prediction:
            schema.add_column(prediction, NUMBER)
        return cls(tuple(models), tuple(scores), raw, prediction)

    def transform(self, batch: Batch) -> Batch:
        found: list[Array] = []
        for model, score in zip(self.models, self.scores, strict=True):
            scored = model.transform(batch)
            if scored.rows != batch.rows:
                return self.transform(_without_failed(batch, scored))
            column = scored.columns[score]
            assert isinstance(column, Dense)
            found.append(column.values[:, 1])
        raw = np.stack(found, axis=1)
        columns: dict[str, Column] = {}
        if self.raw:
            columns[self.raw] = Dense(raw)
        if self.prediction:
            scores = np.where(np.isnan(raw), -np.inf, raw)
            best = scores.argmax(axis=1).astype(np.float64)
            columns[self.prediction] = Dense(np.where(scores.max(axis=1) > -np.inf, best, -1.0))
        return batch.with_columns(columns)


_MAX_CLASSES = 10_000


def _without_failed(batch: Batch, scored: Batch) -> Batch:
    return Batch(
        {name: scored.columns[name] for name in batch.columns},
        scored.rows,
        scored.source_rows,
        scored.failures,
    )
