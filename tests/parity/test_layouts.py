"""Folders of MLflow and SparkR are served as they are; what cannot be is told with a way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tests.parity.cases import Case, load_cases, value_agrees
from tests.parity.saves import save_stage, vector_array
from tests.parity.test_spark import check_rows

from hydro_runtimes.columns import DataType
from hydro_runtimes.errors import InvalidModel, ModelError, UnsupportedStage
from hydro_runtimes.load import describe, load
from hydro_runtimes.model_formats import detect_format
from hydro_runtimes.spark import unsupported_classes
from hydro_runtimes.spark.registry import STAGES
from hydro_services.codecs.json_rows import parse_array, write_lines
from hydro_services.repository.folder import FolderSource
from hydro_services.repository.inspection import inspect
from hydro_services.runtime.scoring import score_rows

FIXTURES = Path(__file__).parent / "fixtures"
LAYOUTS = FIXTURES / "layouts"
FOREST, TEXT = (FIXTURES / "models" / name for name in ("forest", "text"))


def case(name: str) -> Case:
    (found,) = (each for each in load_cases(FIXTURES) if each.document["name"] == name)
    return found


def rows_with_answers(folder: Path, given: list[Any]) -> list[Any]:
    """Each row with its answers."""
    made, _ = score_rows(load(folder), list(parse_array(json.dumps(given).encode())))
    return [json.loads(line) for line in write_lines(made).splitlines()]


def save_as_mlflow(folder: Path, model: Path, **flavors: Any) -> Path:
    """A folder as MLflow makes it around a saved pipeline."""
    shutil.copytree(model, folder / "sparkml")
    columns = [{"type": "string", "name": "text", "required": True}, {"type": "long", "name": "n"}]
    document = {
        "artifact_path": "model",
        "flavors": flavors,
        "mlflow_version": "3.3.2",
        "model_uuid": "88b66ba84b8242ba8cdfc6f123f9428f",
        "signature": {"inputs": json.dumps(columns), "outputs": None, "params": None},
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(document, default_flow_style=False))
    (folder / "conda.yaml").write_text("name: mlflow-env\n")
    return folder


FUNCTION = {"data": "sparkml", "loader_module": "mlflow.spark", "python_version": "3.11.7"}
SPARK = {"code": None, "model_data": "sparkml", "pyspark_version": "4.3.0"}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in LAYOUTS.glob("*/rows.json")))
def test_a_folder_of_sparkr_answers_as_spark(name: str) -> None:
    document = json.loads((LAYOUTS / name / "rows.json").read_text())
    got = rows_with_answers(LAYOUTS / name, document["rows"])
    for row, (given, wanted) in enumerate(zip(got, document["answers"], strict=True)):
        for column, value in wanted.items():
            found = given[column]
            assert value_agrees(found, value, 1e-6, 1e-9), (
                f"row {row}, {column}: {found} != {value}"
            )


@pytest.mark.parametrize(
    "flavors",
    [
        {"spark": SPARK, "python_function": FUNCTION},
        {"spark": SPARK},
        {"python_function": FUNCTION},
        {"spark": {}},
    ],
)
def test_a_folder_of_mlflow_answers_as_the_model_in_it(flavors: Any, tmp_path: Path) -> None:
    folder = save_as_mlflow(tmp_path / "m", TEXT, **flavors)
    assert detect_format(folder).name == "spark"
    text = case("text")
    check_rows(text, load(folder).evaluate(text.inputs), range(text.inputs.rows))


def test_the_signature_of_mlflow_states_types(tmp_path: Path) -> None:
    columns = [
        *({"name": n, "type": t} for n, t in (("x", "float"), ("y", "long"), ("s", "datetime"))),
        {"name": "other", "type": "array", "items": {"type": "double"}},
        {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}},
    ]
    folder = save_as_mlflow(tmp_path / "m", FOREST, spark=SPARK)
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["signature"]["inputs"] = json.dumps(columns)
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    types = {field.name: field.type for field in describe(folder)[0].inputs}
    assert (types["x"], types["y"]) == (DataType.FLOAT32, DataType.INT64)
    (folder / "metadata.json").write_text('{"inputs": [{"name": "x", "type": "float64"}]}')
    types = {field.name: field.type for field in describe(folder)[0].inputs}
    assert (types["x"], types["y"]) == (DataType.FLOAT64, DataType.INT64)


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "flavors: 7", "flavors: {sklearn: {}}", "\0"])
def test_mlflow_without_spark_is_not_spark(text: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(InvalidModel, match=r"MLmodel cannot be read|flavors (none|sklearn): want"):
        detect_format(tmp_path)
    if text.startswith("flavors: {"):
        (tmp_path / "model.pkl").touch()
        assert detect_format(tmp_path).name == "pickle"


@pytest.mark.parametrize("name", ["../forest", "/", "gone", "", ".", 7])
def test_mlflow_leads_to_a_saved_stage_in_its_folder(name: Any, tmp_path: Path) -> None:
    shutil.copytree(FOREST, tmp_path / "forest")
    folder = tmp_path / "m"
    save_as_mlflow(folder, FOREST, spark={"model_data": name})
    with pytest.raises(InvalidModel, match="MLmodel"):
        load(folder)


@pytest.mark.parametrize("place", ["model", "artifacts/model"])
def test_the_only_model_in_a_folder_is_that_folders(place: str, tmp_path: Path) -> None:
    shutil.copytree(TEXT, tmp_path / "m" / place)
    (tmp_path / "m" / "README.md").touch()
    text = case("text")
    check_rows(text, load(tmp_path / "m").evaluate(text.inputs), range(text.inputs.rows))
    (tmp_path / "m" / "metadata.json").write_text('{"inputs": [{"name": "n", "type": "int32"}]}')
    assert load(tmp_path / "m")


def test_mlflow_in_a_folder_is_found(tmp_path: Path) -> None:
    save_as_mlflow(tmp_path / "m" / "artifacts", TEXT, spark=SPARK)
    assert load(tmp_path / "m")


def test_of_several_models_none_is_taken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(TEXT, tmp_path / name)
    with pytest.raises(InvalidModel, match="more than one model: a, b"):
        load(tmp_path)


def test_a_model_in_another_format_is_not_looked_for_in_folders(tmp_path: Path) -> None:
    shutil.copytree(TEXT, tmp_path / "old")
    (tmp_path / "model.py").touch()
    assert detect_format(tmp_path).name == "python"


def test_a_link_is_not_followed_to_a_model(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model").symlink_to(TEXT)
    with pytest.raises(InvalidModel, match="no model here"):
        load(tmp_path / "m")


def test_what_lacks_a_part_is_told_so(tmp_path: Path) -> None:
    bare, stages, inner = (tmp_path / name for name in ("bare", "stages_only", "inner"))
    shutil.copytree(FOREST, bare)
    for path in (bare / "metadata").glob("part-*"):
        path.unlink()
    with pytest.raises(InvalidModel, match=r"metadata has no part file.*copy the whole folder"):
        load(bare)
    shutil.copytree(FOREST / "stages", stages / "stages")
    with pytest.raises(InvalidModel, match=r"stages of a PipelineModel without its metadata"):
        load(stages)
    shutil.copytree(FOREST / "stages", inner)
    with pytest.raises(InvalidModel, match=r"want the folder above"):
        load(inner)


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"PK")
    with pytest.raises(InvalidModel, match="is a file, want the folder of a model; unpack"):
        load(tmp_path / "model.zip")


def test_a_pipeline_of_nothing_adds_nothing(tmp_path: Path) -> None:
    save_stage(tmp_path / "m", "PipelineModel", {"stageUids": []})
    assert rows_with_answers(tmp_path / "m", [{"a": 1}]) == [{"a": 1}]


@pytest.mark.parametrize("codec", ["none", "gzip", "lz4", "zstd", "brotli", "snappy"])
def test_tables_in_any_codec_of_parquet_are_read(codec: str, tmp_path: Path) -> None:
    table = pa.table({"clusterIdx": [0, 1], "clusterCenter": vector_array((0.0,), (9.0,))})
    folder = save_stage(
        tmp_path / "m", "clustering.KMeansModel", {"featuresCol": "f"}, {"data": table}
    )
    for path in (folder / "data").iterdir():
        path.unlink()
    pq.write_table(table, folder / "data" / f"part-0.{codec}.parquet", compression=codec)
    assert rows_with_answers(folder, [{"f": [8.0]}])[0]["prediction"] == 1


def test_data_in_another_format_is_named(tmp_path: Path) -> None:
    folder = save_stage(tmp_path / "m", "clustering.KMeansModel", {}, {})
    (folder / "data").mkdir()
    (folder / "data" / "part-00000.snappy.orc").touch()
    with pytest.raises(InvalidModel, match=r"no parquet file in 'data': found part-00000\.snappy"):
        load(folder)


def test_the_centres_of_spark_1_are_read(tmp_path: Path) -> None:
    centres = pa.array(
        [vector_array((0.0,), (9.0,)).to_pylist()], pa.list_(vector_array((0.0,)).type)
    )
    table = pa.table({"clusterCenters": centres})
    save_stage(tmp_path / "m", "clustering.KMeansModel", {}, {"data": table}, version="1.6.3")
    assert rows_with_answers(tmp_path / "m", [{"features": [8.0]}])[0]["prediction"] == 1


def test_the_hashes_of_spark_1_are_not_mistaken_for_later_ones(tmp_path: Path) -> None:
    params = {"inputCol": "w", "outputCol": "v", "numFeatures": 8}
    save_stage(tmp_path / "m", "feature.HashingTF", params, version="1.6.3")
    with pytest.raises(InvalidModel, match="fit it again with a later Spark"):
        load(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "fitted"),
    [
        ("unfitted_pipeline", "pipeline.fit(df).write().overwrite().save(path)"),
        ("unfitted_estimator", "estimator.fit(df).write().overwrite().save(path)"),
        ("unfitted_search", "cv.fit(df).write().overwrite().save(path)"),
    ],
)
def test_what_is_not_fitted_is_to_be_fitted(name: str, fitted: str) -> None:
    with pytest.raises(UnsupportedStage) as refused:
        load(LAYOUTS / name)
    assert f"not fitted and answers no rows: save the fitted model: {fitted}" in str(refused.value)


def test_a_model_of_mllib_is_to_be_trained_again() -> None:
    with pytest.raises(UnsupportedStage) as refused:
        load(LAYOUTS / "mllib_kmeans")
    assert refused.value.message == (
        "the model is of the class org.apache.spark.mllib.clustering.KMeansModel, of spark.mllib, "
        "the old API of RDDs, whose saves name no columns and are not served: train it again with "
        "spark.ml (org.apache.spark.ml.clustering.KMeans) and save the fitted model: "
        "estimator.fit(df).write().overwrite().save(path)"
    )


def test_a_transformer_of_ones_own_is_named_with_the_way_out() -> None:
    with pytest.raises(UnsupportedStage) as refused:
        load(LAYOUTS / "own_transformer")
    assert "stage 1 of 'PipelineModel_" in str(refused.value)
    assert "is of the class __main__.OwnTransformer, a class of your own" in str(refused.value)
    assert "model.py" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("com.microsoft.azure.synapse.ml.lightgbm.LightGBMClassificationModel", "SynapseML"),
        ("ml.dmlc.xgboost4j.scala.spark.XGBoostClassificationModel", "XGBoost"),
        ("xgboost.spark.estimator.SparkXGBClassifierModel", "XGBoost"),
        ("com.johnsnowlabs.nlp.DocumentAssembler", "Spark NLP"),
        ("spark_rapids_ml.clustering.KMeansModel", "Spark RAPIDS ML"),
    ],
)
def test_a_class_of_a_library_is_told_with_it(name: str, library: str) -> None:
    reason = unsupported_classes.unsupported_reason(name, (3, 5), STAGES.keys())
    assert reason.startswith(f"a class of {library}, not of Spark")
    assert "hydro pipelines apply" in reason


@pytest.mark.parametrize("name", ["com.acme.ml.Lower", "acme.transformers.Lower", "Lower"])
def test_any_other_class_is_told_to_be_none_of_sparks(name: str) -> None:
    reason = unsupported_classes.unsupported_reason(name, (3, 5), STAGES.keys())
    assert "not Spark's" in reason
    assert "model.py" in reason


def test_the_repository_lists_folders_as_they_are(tmp_path: Path) -> None:
    save_as_mlflow(tmp_path / "spark" / "logged" / "3", TEXT, spark=SPARK)
    shutil.copytree(LAYOUTS / "sparkr_glm", tmp_path / "spark" / "glm")
    shutil.copytree(TEXT, tmp_path / "spark" / "copied" / "saved")
    shutil.copytree(LAYOUTS / "unfitted_pipeline", tmp_path / "spark" / "unfitted")
    versions = {}
    source = FolderSource(tmp_path)
    for key, model in source.list_models().models.items():
        inspected = inspect(source, key, model)
        assert inspected
        versions[key] = inspected.version
    unfitted = versions.pop(("spark", "unfitted"))
    assert set(versions) == {("spark", "logged", "3"), ("spark", "glm"), ("spark", "copied")}
    assert all((v.format, v.refused) == ("spark", "") for v in versions.values())
    assert "pipeline.fit(df).write().overwrite().save(path)" in unfitted.refused
    assert str(tmp_path) not in unfitted.refused


def test_no_supported_class_is_taken_for_an_estimator() -> None:
    assert not [n for n in STAGES if unsupported_classes.is_estimator(n, (2, 4), STAGES.keys())]
    new = [name for name in STAGES if unsupported_classes.is_estimator(name, (4, 3), STAGES.keys())]
    assert new == ["org.apache.spark.ml.feature.OneHotEncoder"]


def test_every_estimator_of_pyspark_is_told_to_be_one() -> None:
    pyspark = pytest.importorskip("pyspark")
    from pyspark.ml import (
        Estimator,
        classification,
        clustering,
        feature,
        fpm,
        recommendation,
        regression,
        tuning,
    )

    assert pyspark.__version__
    modules = (classification, clustering, feature, fpm, recommendation, regression, tuning)
    for module in modules:
        for name in module.__all__:
            made = getattr(module, name)
            if not isinstance(made, type) or not issubclass(made, Estimator):
                continue
            saved = f"org.apache.spark.ml.{module.__name__.removeprefix('pyspark.ml.')}.{name}"
            assert unsupported_classes.is_estimator(saved, (4, 3), STAGES.keys()), saved


def test_a_name_is_never_empty_in_a_message(tmp_path: Path) -> None:
    save_stage(tmp_path / "m", "feature.Nonsense", {}, uid="")
    with pytest.raises(ModelError) as refused:
        load(tmp_path / "m")
    assert "''" not in str(refused.value)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ("my_udf(x)", "my_udf"),
        ("db.my_udf(x) + 1", "db.my_udf"),
        ("upper(main.ml.Score(x, 2))", "main.ml.Score"),
        ("`my udf`(x)", "my udf"),
    ],
)
def test_a_function_of_ones_own_is_named_as_it_is_written(
    call: str, named: str, tmp_path: Path
) -> None:
    statement = {"statement": f"SELECT {call} AS y FROM __THIS__"}
    save_stage(tmp_path / "m", "feature.SQLTransformer", statement)
    with pytest.raises(InvalidModel, match=rf"the function '{named}' is not supported") as refused:
        load(tmp_path / "m")
    assert "is not saved: put it into a model.py between two pipelines" in str(refused.value)


@pytest.mark.parametrize("name", ["upper", "`upper`", "builtin.upper", "system.builtin.UPPER"])
def test_a_function_of_spark_may_have_its_whole_name(name: str, tmp_path: Path) -> None:
    statement = {"statement": f"SELECT {name}(x) AS y FROM __THIS__"}
    save_stage(tmp_path / "m", "feature.SQLTransformer", statement)
    assert rows_with_answers(tmp_path / "m", [{"x": "a"}])[0]["y"] == "A"
