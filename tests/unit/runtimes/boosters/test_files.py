"""Files of boosters as they are found: cut, changed, in either form."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.boosters import ubjson
from hydro_runtimes.boosters import xgboost as loader
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import describe

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0] * 5, "b": pd.Categorical(["x", "y"] * 10)})
TARGET = [0, 1, 1, 0] * 5
NAMES = ("model.ubj", "model.json", "model.txt", "model.cbm")


@cache
def file(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / name)
        model: Any
        if name == "model.txt":
            data = lightgbm.Dataset(FRAME, TARGET)
            model = lightgbm.train({"verbosity": -1, "min_data_in_leaf": 1}, data, 2)
        elif name == "model.cbm":
            model = catboost.CatBoostClassifier(2, verbose=0, allow_writing_files=False)
            model.fit(FRAME.astype({"b": object}), TARGET, cat_features=["b"])
        else:
            model = xgboost.XGBClassifier(n_estimators=2, enable_categorical=True)
            model.fit(FRAME, TARGET)
        model.save_model(path)
        return Path(path).read_bytes()


@given(st.sampled_from(NAMES), st.data())
def test_a_changed_file_is_described_or_refused(name: str, data: st.DataObject) -> None:
    """Whatever is in it: nothing else is raised, and nothing takes long."""
    changed = bytearray(file(name))
    # The head states what is read; of the trees nothing is.
    places = st.integers(0, min(len(changed), 4096) - 1)
    for place in data.draw(st.lists(places, max_size=4)):
        changed[place] = data.draw(st.integers(0, 255))
    size = data.draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(bytes(changed[:size]))
        with contextlib.suppress(InvalidModel):
            assert describe(Path(folder)).signature.inputs


@given(
    st.lists(
        st.text(st.characters(codec="ascii", min_codepoint=32), min_size=1),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    st.booleans(),
)
def test_both_forms_of_xgboost_tell_the_same(categories: list[str], has_names: bool) -> None:
    values = pd.Categorical((categories * 12)[:12], categories)
    frame = pd.DataFrame({"c": values, "x": np.arange(12.0)})
    given = frame if has_names else frame[["x"]].to_numpy()
    model = xgboost.XGBRegressor(n_estimators=1, max_depth=1, n_jobs=1, enable_categorical=True)
    booster = model.fit(given, np.arange(12.0)).get_booster()
    told = loader.parse_file(bytes(booster.save_raw("ubj")))
    assert told == loader.parse_file(bytes(booster.save_raw("json")))
    assert told.features.categories == ({"c": tuple(categories)} if has_names else {})


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[$Z#L" + struct.pack(">q", 1 << 60), id="nulls without end"),
        pytest.param(b"[$d#L" + struct.pack(">q", 1 << 60), id="more numbers than bytes"),
        pytest.param(b"[" * 5000, id="nested"),
        pytest.param(b"SL" + struct.pack(">q", -1), id="negative length"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_small_file_cannot_state_much(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"has a list|ends after|nested|has a length"):
        ubjson.parse(data)
