"""How large a saved model may be is told in the message, and the operator's to change."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from tests.parity.saves import dense_vector, save_stage

from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import load
from hydro_runtimes.spark.format import model_size


def save_factors(folder: Path, users: int = 8, rank: int = 5) -> Path:
    kind = pa.schema([("id", pa.int32()), ("features", pa.list_(pa.float32()))])
    table = pa.table({"id": range(users), "features": [[1.0] * rank] * users}, kind)
    params = {"userCol": "u", "itemCol": "i"}
    tables = {"userFactors": table, "itemFactors": table.slice(0, 2)}
    return save_stage(folder, "recommendation.ALSModel", params, tables, rank=rank)


def test_the_message_has_the_limit_and_who_changes_it_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_factors(tmp_path / "m")
    monkeypatch.setenv(model_size.VARIABLE, "40")
    with pytest.raises(InvalidModel) as refused:
        load(folder)
    assert refused.value.message == (
        "ALSModel 'stage': 'userFactors' has 48 values, want at most 40; where memory suffices, "
        "start this process with HYDRO_MAX_MODEL_VALUES=48"
    )
    monkeypatch.setenv(model_size.VARIABLE, "48")
    assert load(folder)


def test_what_the_message_asks_for_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_factors(tmp_path / "m", users=1)
    monkeypatch.setenv(model_size.VARIABLE, "1")
    for _ in range(9):
        try:
            assert load(folder)
            break
        except InvalidModel as error:
            asked = re.search(rf"{model_size.VARIABLE}=(\d+)", error.message)
            assert asked
            monkeypatch.setenv(model_size.VARIABLE, asked[1])
    assert load(folder)


@pytest.mark.slow
def test_vectors_are_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table(
        {"maxAbs": [{**dense_vector(1.0), "type": 0, "size": 2**27 + 1, "indices": [5]}]}
    )
    params = {"inputCol": "x", "outputCol": "y"}
    folder = save_stage(tmp_path / "m", "feature.MaxAbsScalerModel", params, {"data": table})
    with pytest.raises(InvalidModel, match=r"has 134217729 values, want at most 134217728"):
        load(folder)
    expansion = {**params, "scalingVec": {"type": 0, "size": 2**30, "indices": [], "values": []}}
    save_stage(tmp_path / "e", "feature.ElementwiseProduct", expansion)
    with pytest.raises(InvalidModel, match=r"param 'scalingVec' has 1073741824 values"):
        load(tmp_path / "e")
    monkeypatch.setenv(model_size.VARIABLE, str(2**28))
    assert load(folder)


@pytest.mark.parametrize("value", ["-1", "1e9", "many", "9" * 20, " 7"])
def test_a_limit_that_is_none_is_refused(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_factors(tmp_path / "m")
    monkeypatch.setenv(model_size.VARIABLE, value)
    with pytest.raises(InvalidModel, match="HYDRO_MAX_MODEL_VALUES: is"):
        load(folder)


def test_a_model_cannot_change_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_factors(tmp_path / "m")
    (folder / "metadata.json").write_text('{"HYDRO_MAX_MODEL_VALUES": 1000, "maxValues": 1000}')
    monkeypatch.setenv(model_size.VARIABLE, "40")
    with pytest.raises(InvalidModel, match="want at most 40"):
        load(folder)
