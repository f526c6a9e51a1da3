"""Large tables: read and evaluated in pieces, with the same answers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parity.saves import save_stage

from hydro_runtimes.columns import Columns, Dense, Ragged, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import load
from hydro_runtimes.spark.data.element_attributes import (
    ElementAttribute,
    LazyAttributes,
    join_attributes,
)
from hydro_runtimes.spark.data.vocabulary import Vocabulary
from hydro_runtimes.spark.format import saved
from hydro_runtimes.spark.trees import chunks

NAMES = {"inputCol": "in", "outputCol": "out"}
TEXTS = st.lists(st.text(max_size=4) | st.sampled_from(("\ud800", "a", "", "ä")), max_size=60)


@given(TEXTS, TEXTS)
def test_a_vocabulary_finds_as_a_dict_does(texts: list[str], others: list[str]) -> None:
    known = {text: place for place, text in enumerate(texts)}
    vocabulary = Vocabulary(texts)
    asked = [*texts, None, *others]
    wanted = [-1 if text is None else known.get(text, -1) for text in asked]
    assert vocabulary.find_all(asked).tolist() == wanted
    assert len(vocabulary) == len(texts)


@given(st.lists(st.integers(0, 300), max_size=50), st.integers(1, 200))
def test_chunks_hold_each_row_once_and_not_too_many_values(sizes: list[int], most: int) -> None:
    ends = np.cumsum([0, *sizes], dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_NUMBERS", most)
        found = list(chunks.chunk_bounds(ends))
    assert [row for start, end in found for row in range(start, end)] == list(range(len(sizes)))
    for start, end in found:
        assert end == start + 1 or ends[end] - ends[start] <= most
    for (start, _), (_, end) in pairwise(found):
        assert ends[end] - ends[start] > most


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6))
def test_joined_elements_are_those_of_the_parts(parts: list[list[int]]) -> None:
    def lazy(part: list[int]) -> LazyAttributes:
        return LazyAttributes(len(part), lambda i: ElementAttribute(str(part[i])))

    made = join_attributes([lazy(part) for part in parts])
    wanted = [ElementAttribute(str(one)) for part in parts for one in part]
    assert list(made) == wanted
    assert list(made[1:]) == wanted[1:]
    assert [made[i - len(made)] for i in range(len(made))] == wanted


def list_array(values: Any) -> pa.Array:
    return pa.array(values.tolist(), pa.list_(pa.float32()))


def test_word_vectors_are_added_up_alike_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "_PIECE_VALUES", 13)
    rng = np.random.default_rng(1)
    words = [f"word{index}" for index in range(50)]
    vectors = rng.normal(size=(50, 4)).astype(np.float32)
    tables = {"data": pa.table({"word": words, "vector": list_array(vectors)})}
    model = load(
        save_stage(
            tmp_path / "m", "feature.Word2VecModel", NAMES | {"vectorSize": 4}, tables, "3.5.0"
        )
    )
    rows = [[words[at] for at in rng.integers(0, 50, size)] for size in (0, 1, 30, 5, 0, 7, 200)]
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    column = Ragged(offsets, Strings([word for row in rows for word in row]))
    together = model.evaluate(Columns({"in": column})).outputs["out"]
    monkeypatch.setattr(chunks, "CHUNK_NUMBERS", 40)
    pieces = model.evaluate(Columns({"in": column})).outputs["out"]
    assert isinstance(together, Dense)
    assert isinstance(pieces, Dense)
    np.testing.assert_array_equal(pieces.values, together.values)
    for row, wanted in zip(rows, together.values, strict=True):
        total = np.zeros(4)
        for word in row:
            total += vectors[words.index(word)].astype(np.float64)
        np.testing.assert_array_equal(wanted, total * (1 / max(len(row), 1)))


def test_factors_in_pieces_are_those_of_their_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "_PIECE_VALUES", 7)
    rng = np.random.default_rng(1)
    ids = rng.permutation(40).astype(np.int32) - 5
    factors = rng.normal(size=(40, 3)).astype(np.float32)
    table = pa.table({"id": ids, "features": list_array(factors)})
    tables = {"userFactors": table, "itemFactors": table}
    model = load(save_stage(tmp_path / "m", "recommendation.ALSModel", {}, tables, "3.5.0", rank=3))
    item = np.full(40, ids[0])
    columns = Columns({"user": Dense(ids.astype(np.float64)), "item": Dense(item.astype(float))})
    prediction = model.evaluate(columns).outputs["prediction"]
    assert isinstance(prediction, Dense)
    wanted = np.zeros(40, dtype=np.float32)
    for at in range(3):
        wanted += factors[:, at] * factors[0, at]
    np.testing.assert_array_equal(prediction.values, wanted)


def test_a_vector_of_another_size_in_a_later_piece_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "_PIECE_VALUES", 4)
    vectors = pa.array([[1.0, 2.0]] * 9 + [[1.0, 2.0, 3.0]], pa.list_(pa.float32()))
    tables = {"data": pa.table({"word": [str(one) for one in range(10)], "vector": vectors})}
    model = save_stage(tmp_path / "m", "feature.Word2VecModel", NAMES | {"vectorSize": 2}, tables)
    with pytest.raises(InvalidModel, match="another size than 2"):
        load(model)
