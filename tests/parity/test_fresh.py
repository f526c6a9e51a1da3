"""Random stages on random data answer as the Spark that is installed, row by row.

HYDRO_SEED chooses other ones, HYDRO_ROUNDS how many of each family.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.parity.cases import case_column, plain_values, value_agrees

from hydro_runtimes.columns import Columns
from hydro_runtimes.evaluator import Evaluator, Failure
from hydro_runtimes.load import load

if os.environ.get("CI") != "true":
    pytest.importorskip("pyspark")
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SEED = int(os.environ.get("HYDRO_SEED", "1"))
ROUNDS = int(os.environ.get("HYDRO_ROUNDS", "2"))
ROWS = 12


def start_spark() -> Any:
    """A Spark of one thread, quiet, on this machine alone."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    settings: dict[str, bool | float | int | str | None] = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1",
    }
    made = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    return made


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    made = start_spark()
    yield made
    made.stop()


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("family", range(9))
def test_random_stages_answer_as_spark(
    spark: Any, family: int, number: int, tmp_path: Path
) -> None:
    from tests.parity.random_rows import data_frame, random_row
    from tests.parity.random_stages import random_stage

    rng = random.Random(f"{SEED} {family} {number}")
    train = data_frame(spark, [random_row(rng, i, odd=False) for i in range(80)])
    rows = [random_row(rng, i, odd=rng.random() < 0.4) for i in range(ROWS)]
    stage = random_stage(rng, family)
    model = stage.fit(train) if hasattr(stage, "fit") else stage
    model.write().overwrite().save(str(tmp_path / "model"))
    data = data_frame(spark, rows).cache()
    expected = spark_rows(model, data, range(ROWS))
    if all(isinstance(one, Exception) for one in expected.values()) and len(expected) == ROWS:
        return  # what Spark cannot run at all need not be refused in the same way
    ours = load(tmp_path / "model")
    types = {field.name: field.dataType.simpleString() for field in data.schema.fields}
    answers = our_rows(ours, rows, types)
    for i, got in enumerate(answers):
        check_answer(
            f"{describe_model(model)}, row {i} {rows[i]}", got, expected.get(i), set(types)
        )


def spark_rows(model: Any, data: Any, ids: Sequence[int]) -> dict[int, Any]:
    """Spark's row by id, or its exception; dropped rows are missing."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        return {one["id"]: one for one in model.transform(data.where(data.id.isin(*ids))).collect()}
    except (PySparkException, Py4JError) as error:
        if len(ids) == 1:
            return {ids[0]: error}
    middle = len(ids) // 2
    return spark_rows(model, data, ids[:middle]) | spark_rows(model, data, ids[middle:])


def our_rows(
    model: Evaluator, rows: list[dict[str, Any]], types: dict[str, str]
) -> list[dict[str, Any] | Failure]:
    """The answer to each row: its outputs, or why it has none."""
    inputs = {
        field.name: case_column([plain_value(one[field.name]) for one in rows], types[field.name])
        for field in model.signature.inputs
        if field.name in types
    }
    evaluation = model.evaluate(Columns(inputs, len(rows)))
    names = list(evaluation.outputs)
    made = zip(*(plain_values(values) for values in evaluation.outputs.values()), strict=True)
    live = iter([dict(zip(names, one, strict=True)) for one in made] if names else [{}] * len(rows))
    return [evaluation.failures.get(i) or next(live) for i in range(len(rows))]


def check_answer(what: str, got: dict[str, Any] | Failure, want: Any, inputs: set[str]) -> None:
    if want is None or isinstance(want, Exception):
        assert isinstance(got, Failure), f"{what}: {got}, want {want or 'the row dropped'}"
        assert (got.reason == "ROW_DROPPED") == (want is None), f"{what}: {got}, want {want}"
        return
    assert isinstance(got, dict), f"{what}: {got}, want {want}"
    for name, value in want.asDict().items():
        if name in inputs and name not in got:
            continue
        loose = name == "topicDistribution" and "DistributedLDAModel" in what
        mine, theirs = got[name], plain_value(value)
        if name == "prediction" and isinstance(theirs, list):
            mine, theirs = sorted(mine), sorted(theirs)
        limits = (2e-2, 5e-3) if loose else (1e-9, 1e-9)
        assert value_agrees(mine, theirs, *limits), f"{what}, {name}: {mine}, want {theirs}"


def plain_value(value: Any) -> Any:
    """As the parity cases write it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if hasattr(value, "toArray"):
        elements = [plain_value(float(one)) for one in value.values]
        if hasattr(value, "indices"):
            indices = [int(index) for index in value.indices]
            return {"type": "sparse", "size": value.size, "indices": indices, "values": elements}
        return {"type": "dense", "values": elements}
    return [plain_value(one) for one in value] if isinstance(value, list | tuple) else value


def describe_model(model: Any) -> str:
    parts = getattr(model, "stages", None) or [model]
    return "; ".join(
        f"{type(part).__name__} { {p.name: v for p, v in part._paramMap.items()} }"
        for part in parts
    )
