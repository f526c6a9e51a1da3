"""docs/spark.md says what the registry says."""

import subprocess
import sys
from pathlib import Path

from hydro_runtimes.spark.registry import STAGES, find_stage

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_page_is_the_generated_one() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "gen_spark_docs.py"), "-"]
    environment = {"PYTHONPATH": str(ROOT / "runtimes")}
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert (ROOT / "docs" / "spark.md").read_text() == made.stdout, "run scripts/fix"


def test_every_class_is_mirrored_by_a_stage_that_names_it() -> None:
    for name in STAGES:
        stage = find_stage(name)
        assert stage is not None
        assert "Source: org.apache.spark.ml." in (stage.__doc__ or ""), name


def test_classes_named_by_python_are_found() -> None:
    assert find_stage("pyspark.ml.pipeline.PipelineModel") is find_stage(
        "org.apache.spark.ml.PipelineModel"
    )
    assert find_stage("pyspark.ml.tuning.CrossValidatorModel") is not None
    assert find_stage("pyspark.ml.os.system") is None
