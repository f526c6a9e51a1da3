"""model.py: what its requirements.txt asks for, and data frames in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frames import answers
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.columns import Columns, DataType, Dense, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load
from hydro_runtimes.requirements_file import find_missing

METADATA = {
    "inputs": [
        {"name": "age", "type": "int64", "nullable": True},
        {"name": "name", "type": "string", "nullable": True},
    ],
    "outputs": [
        {"name": "double", "type": "int64", "nullable": True},
        {"name": "greeting", "type": "string", "nullable": True},
    ],
}
FRAMES = """
import pandas as pd
import helper

class Model:
    def __init__(self, folder):
        pass
    def evaluate(self, frame: {annotation}) -> pd.DataFrame:
        assert isinstance(frame, pd.DataFrame), type(frame)
        return helper.answer(frame)
"""
HELPER = """
import pandas as pd

def answer(frame):
    greeting = ("Hello " + frame["name"].fillna("you")).where(frame["age"].notna())
    return pd.DataFrame({"double": frame["age"] * 2, "greeting": greeting, "more": 1})
"""
PLAIN = """
class Model:
    def __init__(self, folder):
        pass
    def evaluate(self, columns):
        return {"double": columns["age"], "greeting": columns["name"]}
"""


def made(folder: Path, model: str, **others: str) -> Evaluator:
    texts = {"model.py": model, "metadata.json": json.dumps(METADATA), **others}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return load(folder, {digest_folder(folder)})


def rows(ages: list[int | None], names: list[str | None]) -> Columns:
    def valid(values: list[Any]) -> np.ndarray | None:
        return None if None not in values else np.array([value is not None for value in values])

    return Columns(
        {
            "age": Dense(np.array([age or 0 for age in ages]), valid(ages)),
            "name": Strings([name or "" for name in names], valid(names), DataType.STRING),
        }
    )


@pytest.mark.parametrize("annotation", ["pd.DataFrame", "'pd.DataFrame'", "'DataFrame'"])
def test_a_model_that_says_so_takes_and_gives_data_frames(tmp_path: Path, annotation: str) -> None:
    text = FRAMES.format(annotation=annotation)
    model = made(tmp_path, text, **{"helper.py": HELPER})
    got = answers(model, rows([1, 2**60 + 1], ["Ada", None]))
    assert got["double"].tolist() == [2, 2**61 + 2]
    assert got["greeting"].tolist() == ["Hello Ada", "Hello you"]
    found = model.evaluate(rows([None, 3], [None, "Bo"])).outputs
    assert found["double"].validity.tolist() == [False, True]  # type: ignore[union-attr]
    assert found["greeting"].validity.tolist() == [False, True]  # type: ignore[union-attr]


def test_requirements_that_are_met_are_no_hindrance(tmp_path: Path) -> None:
    text = "# ours\n--index-url https://x.org\nnumpy>=1.0 \\\n    --hash=sha256:00\n\npandas\n"
    assert made(tmp_path, PLAIN, **{"requirements.txt": text})


def test_what_is_missing_or_too_old_is_named(tmp_path: Path) -> None:
    text = "numpy>=99 # new\nno-such-library==1.2\npandas; python_version < '3'\n"
    want = r"asks for numpy>=99 \(here .*\), no-such-library==1.2 \(not installed\); pip install -r"
    with pytest.raises(InvalidModel, match=want):
        made(tmp_path, "raise SystemExit('ran')", **{"requirements.txt": text})


def test_a_line_that_is_no_requirement_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"requirements\.txt: 'numpy=1' is not a requirement"):
        made(tmp_path, PLAIN, **{"requirements.txt": "numpy=1\n"})


VERSIONS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map("{0[0]}.{0[1]}".format)


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(VERSIONS, VERSIONS | st.none())))
def test_each_requirement_is_compared(libraries: dict[str, tuple[str, str | None]]) -> None:
    text = "\n".join(f"{name}>={wanted}" for name, (wanted, _) in libraries.items())
    missing = find_missing(text, lambda name: libraries[name][1])

    def is_met(wanted: str, here: str | None) -> bool:
        parts = [tuple(map(int, version.split("."))) for version in (wanted, here or "-1.0")]
        return parts[1] >= parts[0]

    want = [name for name, versions in libraries.items() if not is_met(*versions)]
    assert [each.partition(">=")[0] for each in missing] == want
