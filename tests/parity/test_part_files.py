"""Part files of two saves in one folder, and those that are missing, are refused, never mixed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parity.cases import Case
from tests.parity.saves import VECTOR, dense_vector, save_stage, vector_array
from tests.parity.test_spark import CASES, SHARED, check_rows

from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import load
from hydro_runtimes.spark.format.part_files import PartFile, problem_of_rows

UNREAD = {"estimator", "evaluator", "classifier", "tokenCounts"}
"""Folders that answers do not depend on."""
LOST = {"userFactors", "itemFactors", "kmeans", "kmeans_array", "kmeans_cosine", "fpgrowth"}
"""Tables that may be whole without a part file: a model need not know an id, have k clusters (where
points are fewer), or any larger set of items."""
WAY_OUT = "overwrite().save(path)"


def part_files(folder: Path) -> Iterator[Path]:
    """Those with rows that answers depend on."""
    for path in sorted(folder.rglob("part-*")):
        if UNREAD.isdisjoint(path.parts) and (
            path.suffix != ".parquet" or pq.ParquetFile(path).metadata.num_rows
        ):
            yield path


@pytest.fixture(params=CASES, ids=lambda case: case.document["name"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.mark.parametrize("name", ["part-00077-copy{}", "another{}", "part-99999{}"])
def test_a_part_file_that_is_there_twice_is_refused(case: Case, name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(case.folder, tmp_path / "model")
    for path in part_files(folder):
        if path.suffix != ".parquet" and not name.startswith("part-"):
            continue  # Spark's own reader of metadata takes part files alone, and so does ours
        copy = shutil.copy(path, path.with_name(name.format(path.suffix)))
        with pytest.raises(InvalidModel) as refused:
            load(folder)
        assert WAY_OUT in str(refused.value)
        assert path.name in str(refused.value)
        assert Path(copy).name in str(refused.value)
        assert re.search(rf"'?{path.parent.name}'?", str(refused.value))
        Path(copy).unlink()


def test_a_part_file_that_is_missing_is_refused_where_it_counts(case: Case, tmp_path: Path) -> None:
    folder = shutil.copytree(case.folder, tmp_path / "model")
    for path in part_files(folder):
        if not LOST.isdisjoint(path.parts) or case.document["name"] in LOST:
            continue
        away = path.rename(tmp_path / "away")
        with pytest.raises(InvalidModel):
            load(folder)
        away.rename(path)


def test_what_no_answer_depends_on_may_be_there_twice(tmp_path: Path) -> None:
    case = next(each for each in CASES if each.document["name"] == "one_vs_rest")
    folder = shutil.copytree(case.folder, tmp_path / "model")
    (path,) = folder.rglob("classifier/metadata/part-*")
    shutil.copy(path, path.with_name("part-00001"))
    check_rows(case, load(folder).evaluate(case.inputs), range(case.inputs.rows))


def save_als(folder: Path, *parts: tuple[str, list[int]]) -> Path:
    """An ALS model of rank 1, whose users lie in these part files."""
    save_stage(folder, "recommendation.ALSModel", {"userCol": "u", "itemCol": "i"}, rank=1)
    (folder / "userFactors").mkdir()
    (folder / "itemFactors").mkdir()
    kind = pa.schema([("id", pa.int32()), ("features", pa.list_(pa.float32()))])
    for name, ids in parts:
        table = pa.table({"id": ids, "features": [[1.0] for _ in ids]}, kind)
        pq.write_table(table, folder / "userFactors" / name)
    table = pa.table({"id": [1], "features": [[1.0]]}, kind)
    pq.write_table(table, folder / "itemFactors" / "part-0.parquet")
    return folder


ONE = "part-00000-0a1b2c3d-0000-4000-8000-000000000001-c000.snappy.parquet"
OTHER = "part-00001-0a1b2c3d-0000-4000-8000-000000000001-c000.snappy.parquet"
STRANGE = "part-00001-ffffffff-0000-4000-8000-000000000002-c000.snappy.parquet"


def test_the_message_has_the_table_the_id_and_both_files(tmp_path: Path) -> None:
    folder = save_als(tmp_path / "m", (ONE, [7, 9]), (STRANGE, [8, 9]))
    with pytest.raises(InvalidModel) as refused:
        load(folder)
    assert refused.value.message == (
        f"ALSModel 'stage': 'userFactors' has the id 9 both in {ONE} and in {STRANGE}, part files "
        "of two saves in one folder; save the model again into an empty folder: "
        "model.write().overwrite().save(path)"
    )


def test_files_of_two_jobs_are_refused_without_an_id_in_both(tmp_path: Path) -> None:
    folder = save_als(tmp_path / "m", (ONE, [7]), (STRANGE, [8]))
    with pytest.raises(InvalidModel, match=f"two saves, {re.escape(ONE)} and {re.escape(STRANGE)}"):
        load(folder)


def test_files_of_one_job_are_one_table(tmp_path: Path) -> None:
    folder = save_als(tmp_path / "m", (ONE, [7]), (OTHER, [8]))
    assert load(folder)


def test_a_file_whose_checksums_alone_are_left_is_missed(tmp_path: Path) -> None:
    folder = save_als(tmp_path / "m", (ONE, [7]))
    (folder / "userFactors" / f".{OTHER}.crc").touch()
    with pytest.raises(InvalidModel, match=f"lacks {re.escape(OTHER)}"):
        load(folder)


@pytest.mark.parametrize(("is_done", "is_refused"), [(False, True), (True, False)])
def test_a_save_that_was_broken_off_is_refused(
    is_done: bool, is_refused: bool, tmp_path: Path
) -> None:
    folder = save_als(tmp_path / "m", (ONE, [7]))
    (folder / "userFactors" / "_temporary").mkdir()
    if is_done:
        (folder / "userFactors" / "_SUCCESS").touch()
    if not is_refused:
        assert load(folder)
        return
    with pytest.raises(InvalidModel, match="not saved to its end"):
        load(folder)


@pytest.mark.skipif(not SHARED, reason="no parity set")
def test_a_file_that_its_checksums_do_not_match_is_refused(tmp_path: Path) -> None:
    (case,) = (each for each in SHARED if each.document["name"] == "pipe_mixed_logistic")
    folder = shutil.copytree(case.folder, tmp_path / "model")
    assert load(folder)
    path = next(
        p
        for p in part_files(folder)
        if p.suffix == ".parquet" and p.with_name(f".{p.name}.crc").exists()
    )
    table = pq.read_table(path)
    pq.write_table(table, path)
    with pytest.raises(InvalidModel, match="not as it was saved"):
        load(folder)


def test_two_lines_of_metadata_are_refused(tmp_path: Path) -> None:
    folder = save_stage(tmp_path / "m", "feature.Tokenizer", {"inputCol": "a", "outputCol": "b"})
    other = {"class": "org.apache.spark.ml.feature.Tokenizer", "uid": "x", "paramMap": {}}
    (folder / "metadata" / "part-00001").write_text(json.dumps(other))
    with pytest.raises(InvalidModel, match="both in part-00000 and in part-00001, part files of"):
        load(folder)


def test_an_empty_part_of_metadata_is_nothing(tmp_path: Path) -> None:
    folder = save_stage(tmp_path / "m", "feature.Tokenizer", {"inputCol": "a", "outputCol": "b"})
    (folder / "metadata" / "part-00001").write_text("\n")
    assert load(folder)


def test_a_cluster_that_is_missing_is_missed(tmp_path: Path) -> None:
    table = pa.table({"clusterIdx": [0, 2], "clusterCenter": vector_array((1.0,), (2.0,))})
    folder = save_stage(tmp_path / "m", "clustering.KMeansModel", {"k": 3}, {"data": table})
    with pytest.raises(InvalidModel, match=r"clusters are missing.*copy the whole folder"):
        load(folder)


def test_gaussians_are_as_many_as_k(tmp_path: Path) -> None:
    gaussians = pa.table(
        {
            "weight": [0.5, 0.5],
            "mu": pa.array([dense_vector(1.0), dense_vector(2.0)], VECTOR),
            "sigma": [
                {"type": 1, "numRows": 1, "numCols": 1, "values": [v], "isTransposed": False}
                for v in (1.0, 2.0)
            ],
        }
    )
    folder = save_stage(
        tmp_path / "m", "clustering.GaussianMixtureModel", {"k": 3}, {"data": gaussians}
    )
    with pytest.raises(InvalidModel, match="has 2 Gaussians where k is 3"):
        load(folder)


@given(
    st.lists(st.tuples(st.integers(-(2**40), 2**40) | st.integers(0, 5), st.integers(0, 3))),
    st.sampled_from([("a",), ("a", "b"), ("t",), ("t", "b")]),
)
def test_rows_are_twice_where_two_have_the_same_key(
    pairs: list[tuple[int, int]], key: tuple[str, ...]
) -> None:
    table = pa.table(
        {
            "a": pa.array([a for a, _ in pairs], pa.int64()),
            "b": pa.array([b for _, b in pairs], pa.int64()),
            "t": pa.array([str(a) for a, _ in pairs], pa.string()),
        }
    )
    half = len(pairs) // 2
    parts = [PartFile("one", half), PartFile("none", 0), PartFile("other", len(pairs) - half)]
    keys = list(zip(*(table[name].to_pylist() for name in key), strict=True))
    problem = problem_of_rows(table, parts, key)
    assert (problem is None) == (len(set(keys)) == len(keys))
    if problem:
        at = next(row for row in range(len(keys)) if keys[row] in keys[:row])
        files = {"one" if row < half else "other" for row in (keys.index(keys[at]), at)}
        assert all(name in problem for name in files)
        assert ", ".join(str(value) for value in keys[at]) in problem


def test_ids_far_from_each_other_cost_no_more() -> None:
    ids = np.array([-(2**63), 2**63 - 1, 0], dtype=np.int64)
    assert problem_of_rows(pa.table({"id": ids}), [PartFile("one", 3)], ("id",)) is None
