"""Folders that are broken or made to hurt are refused, quickly and by name."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.parity.cases import shared_folder

from hydro_runtimes.errors import InvalidModel, ModelError, UnsupportedStage
from hydro_runtimes.load import load

MODELS = shared_folder() / "spark-parity" / "models"


def write_stage(folder: Path, name: str, uid: str = "stage", **params: object) -> Path:
    (folder / "metadata").mkdir(parents=True)
    document = {"class": f"org.apache.spark.ml.{name}", "uid": uid, "paramMap": params}
    (folder / "metadata" / "part-00000").write_text(json.dumps(document))
    return folder


def write_pipeline(folder: Path, *uids: str) -> Path:
    return write_stage(folder, "PipelineModel", "pipeline", stageUids=list(uids))


def test_a_class_that_is_not_known_is_named_with_its_place(tmp_path: Path) -> None:
    write_pipeline(tmp_path, "a", "b")
    write_stage(tmp_path / "stages" / "0_a", "feature.Tokenizer", "a", inputCol="x", outputCol="y")
    write_stage(tmp_path / "stages" / "1_b", "feature.Nonsense", "b")
    with pytest.raises(UnsupportedStage, match=r"stage 1 of 'pipeline', 'b'.*feature\.Nonsense"):
        load(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"class": 1}', "\x00", "[" * 10**6, '{"class":"x","paramMap":[]}']
)
def test_metadata_that_is_no_metadata_is_refused(tmp_path: Path, text: str) -> None:
    write_stage(tmp_path, "feature.Tokenizer")
    (tmp_path / "metadata" / "part-00000").write_text(text)
    with pytest.raises(ModelError):
        load(tmp_path)


def test_pipelines_in_pipelines_without_end_are_refused(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(60):
        write_pipeline(folder, "pipeline")
        folder = folder / "stages" / "0_pipeline"
    with pytest.raises(InvalidModel, match="deeper"):
        load(tmp_path)


def test_a_pipeline_that_links_to_itself_is_refused(tmp_path: Path) -> None:
    write_pipeline(tmp_path, "pipeline", "pipeline")
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "0_pipeline").symlink_to(tmp_path)
    (tmp_path / "stages" / "1_pipeline").symlink_to(tmp_path)
    with pytest.raises(InvalidModel, match="link"):
        load(tmp_path)


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    write_pipeline(tmp_path, "a")
    (tmp_path / "stages").mkdir()
    with pytest.raises(InvalidModel, match="no folder for stage 0, 'a'"):
        load(tmp_path)


def test_a_vector_of_absurd_size_is_refused(tmp_path: Path) -> None:
    write_stage(tmp_path, "feature.MaxAbsScalerModel", inputCol="x", outputCol="y")
    (tmp_path / "data").mkdir()
    vector = {"type": 0, "size": 2**31 - 1, "indices": [5], "values": [1.0]}
    pq.write_table(pa.table({"maxAbs": [vector]}), tmp_path / "data" / "part-0.parquet")
    with pytest.raises(InvalidModel, match="want at most"):
        load(tmp_path)


def test_trees_that_bite_their_tails_are_refused(tmp_path: Path) -> None:
    source = MODELS / "legacy_tree"
    if not source.is_dir():
        pytest.skip("no parity set")
    shutil.copytree(source, tmp_path / "m")
    (data,) = (tmp_path / "m" / "stages").glob("*/data")
    for path in data.glob("*.parquet"):
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            row["leftChild"] = row["rightChild"] = 0
        pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(InvalidModel, match="trees"):
        load(tmp_path / "m")


@pytest.mark.parametrize("seed", range(60))
def test_damaged_models_are_refused_or_served(seed: int, tmp_path: Path) -> None:
    if not MODELS.is_dir():
        pytest.skip("no parity set")
    rng = random.Random(seed)
    source = rng.choice(sorted(MODELS.iterdir()))
    shutil.copytree(source, tmp_path / "m")
    for _ in range(rng.randrange(1, 4)):
        paths = [path for path in sorted((tmp_path / "m").rglob("*")) if path.is_file()]
        damage_file(rng, rng.choice(paths))
    with contextlib.suppress(ModelError):
        load(tmp_path / "m")


def damage_file(rng: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    kind = rng.randrange(5)
    if kind == 0:
        path.unlink()
        return
    if kind == 1:
        data = data[: rng.randrange(len(data) + 1)]
    elif path.suffix == ".parquet" and kind < 4:
        rewrite_table(rng, path)
        return
    elif path.parent.name == "metadata" and kind < 4 and data:
        data = bytearray(other_values(rng, data.decode(errors="replace")).encode())
    else:
        for _ in range(rng.randrange(1, 20)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)


def other_values(rng: random.Random, text: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return text
    holder = rng.choice([document, document.get("paramMap") or document])
    if isinstance(holder, dict) and holder:
        key = rng.choice(sorted(holder))
        holder[key] = rng.choice(
            [None, -1, 2**40, 1e308, "x", [], {}, [[]], [None], True, ["a"] * 3]
        )
    return json.dumps(document)


def rewrite_table(rng: random.Random, path: Path) -> None:
    """Other values of the same or another type, rows twice or gone."""
    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError):
        return
    rows = [
        {key: change_value(rng, value) for key, value in row.items()}
        for row in rows
        for _ in range(rng.choice([0, 1, 1, 1, 2]))
    ]
    try:
        pq.write_table(pa.Table.from_pylist(rows), path)
    except (pa.ArrowException, OverflowError):
        path.write_bytes(b"PAR1")


def change_value(rng: random.Random, value: object) -> object:
    if rng.random() < 0.05:
        return rng.choice([None, -1, 2**31 - 1, 1e300, float("nan"), "x", [], [1.5], {"a": 1}])
    if isinstance(value, dict):
        return {key: change_value(rng, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [change_value(rng, inner) for inner in value]
    return value
