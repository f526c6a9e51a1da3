"""Names of columns in stages, with dots, back-quotes and fields, mean what they do in Spark.

HYDRO_SEED chooses other ones, HYDRO_ROUNDS how many.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.parity.test_fresh import SEED, start_spark

from hydro_runtimes.columns import Column, Columns, DataType, Dense, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluator, Field
from hydro_runtimes.load import load
from hydro_runtimes.spark.data.sql_columns import column_json

if os.environ.get("CI") != "true":
    pytest.importorskip("pyspark")
pytestmark = [pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore::ResourceWarning")]
PIPELINES = 12 * int(os.environ.get("HYDRO_ROUNDS", "2"))

SCHEMA = "x double, Y double, `a.b` double, s struct<a:double,`c.d`:double,B:double>, t string"
ROW: dict[str, Any] = {"x": 0.5, "Y": -1.0, "a.b": 2.0, "s": {"a": 3.0, "c.d": -4.0, "B": 0.0}}
ROW["t"] = "One two"
NUMBERS = ["x", "X", "`x`", "y", "Y", "a.b", "`a.b`", "`A.B`", "s.a", "S.A", "`s`.`a`", "s.`c.d`"]
# A field that no row has is null here: rows of JSON tell no schema.
NUMBERS += ["s.b", "`s.a`", "x.a", "`x", "s", "o", "O", "`o`", "o.p", "`o.p`"]
TEXTS = ["t", "T", "`t`", "`T`", "t.t", "o"]
KEPT = ["O", "X", "A.B", "T", "S", "y"]
OUTPUTS = ["o", "O", "o.p", "`o`", "X", "x", "A.B", "s.a", "T", "S", "out", "y"]


class OutputExists(Exception):
    """Of the same name, to the letter."""


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    made = start_spark()
    yield made
    made.stop()


def random_transformer(rng: random.Random) -> Any:
    from pyspark.ml import feature

    output = rng.choice(OUTPUTS)
    match rng.randrange(5):
        case 0:
            return feature.Binarizer(threshold=1.0, inputCol=rng.choice(NUMBERS), outputCol=output)
        case 1:
            splits = [-10.0, 0.0, 1.0, 10.0]
            return feature.Bucketizer(splits=splits, inputCol=rng.choice(NUMBERS), outputCol=output)
        case 2:
            # It keeps a column whose name differs in case alone, beside its own: no row has both.
            output = rng.choice([name for name in OUTPUTS if name not in KEPT])
            names = rng.sample(NUMBERS, 2)
            return feature.VectorAssembler(inputCols=names, outputCol=output)
        case 3:
            return feature.Tokenizer(inputCol=rng.choice(TEXTS), outputCol=output)
    names, outputs = rng.sample(NUMBERS, 2), rng.sample(OUTPUTS, 2)
    return feature.Binarizer(thresholds=[1.0, 1.0], inputCols=names, outputCols=outputs)


def test_names_stand_for_what_they_do_in_spark(spark: Any, tmp_path: Path) -> None:
    from pyspark.ml import PipelineModel

    data = spark.createDataFrame([tuple(ROW.values())], SCHEMA).cache()
    rng = random.Random(f"names {SEED}")
    wrong: list[str] = []
    answered = 0
    for number in range(PIPELINES):
        stages = [random_transformer(rng) for _ in range(rng.choice([1, 2, 2]))]
        model = PipelineModel(stages)
        model.write().save(str(tmp_path / str(number)))
        try:
            wanted = answer_of_spark(model, data)
        except OutputExists:  # Spark runs no such pipeline, so that nobody fits one
            continue
        found = answer_of(tmp_path / str(number))
        answered += wanted is not None
        if found != wanted:
            told = [{p.name: v for p, v in one._paramMap.items()} for one in stages]
            wrong.append(f"{told}: {found}, want {wanted}")
    assert wrong == []
    assert answered > PIPELINES // 10


def answer_of_spark(model: Any, data: Any) -> dict[str, Any] | None:
    """All columns by name; None where Spark refuses.

    Raises:
        OutputExists: a stage adds a column that is there.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        (row,) = model.transform(data).collect()
    except (PySparkException, Py4JError) as error:
        if "already exists" in str(error):
            raise OutputExists from error
        return None
    return {name: plain(value) for name, value in zip(row.__fields__, row, strict=True)}


def answer_of(folder: Path) -> dict[str, Any] | None:
    """As `answer_of_spark`, with what passes by a model as it came in."""
    try:
        model = load(folder)
    except InvalidModel:
        return None
    inputs = inputs_of(model)
    if inputs is None or not model.signature.adds.isdisjoint(ROW):
        return None
    answer = model.evaluate(Columns(inputs, 1))
    if answer.failures:
        return None
    replaced = model.signature.replaced(ROW)
    passing = {name: value for name, value in ROW.items() if name not in replaced}
    made = {name: json.loads(column_json(one)[0]) for name, one in answer.outputs.items()}
    return passing | made


def inputs_of(model: Evaluator) -> dict[str, Column] | None:
    """The inputs, as a row brings them; None where it does not have one of them."""
    lower = {name.lower(): value for name, value in ROW.items()}
    inputs: dict[str, Column] = {}
    for field in model.signature.inputs:
        if field.name.lower() not in lower or not fits(field, lower[field.name.lower()]):
            return None
        value = lower[field.name.lower()]
        if field.type is DataType.JSON:
            inputs[field.name] = Strings([json.dumps(value)], None, DataType.JSON)
        elif isinstance(value, str):
            inputs[field.name] = Strings([value])
        else:
            inputs[field.name] = Dense(np.array([value]))
    return inputs


def fits(field: Field, value: Any) -> bool:
    if field.type is DataType.JSON:
        return True
    if isinstance(value, dict):
        return False
    return not field.shape and isinstance(value, str) == (field.type is DataType.STRING)


def plain(value: Any) -> Any:
    if hasattr(value, "toArray"):
        return value.toArray().tolist()
    if hasattr(value, "asDict"):
        return value.asDict(recursive=True)
    return list(value) if isinstance(value, list) else value
