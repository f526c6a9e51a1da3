"""Vectors in JSON are read alike by codecs and by Spark's stages."""

from typing import Any

import numpy as np
import pytest

from hydro_runtimes.vector_json import parse_vector


@pytest.mark.parametrize(
    ("value", "size", "indices"),
    [
        ([5, None], 2, [0, 1]),
        ({"type": "dense", "values": []}, 0, []),
        ({"type": 1, "values": [1]}, 1, [0]),
        ({"type": "sparse", "size": 3, "indices": [0, 2.0], "values": [1, 2]}, 3, [0, 2]),
        ({"type": 0, "size": 0, "indices": [], "values": []}, 0, []),
    ],
)
def test_a_vector_is_its_size_indices_and_elements(
    value: Any, size: int, indices: list[int]
) -> None:
    got_size, got, elements = parse_vector(value)
    assert (got_size, got.tolist()) == (size, indices)
    assert got.dtype == np.int64
    assert len(elements) == len(indices)


@pytest.mark.parametrize(
    "changed",
    [
        {"size": 2},
        {"size": True},
        {"size": 2**31},
        {"size": -1},
        {"size": "3"},
        {"type": "thin"},
        {"indices": [0]},
        {"indices": [2, 0]},
        {"indices": [1, 1]},
        {"indices": [-1, 2]},
        {"indices": [0.5, 2]},
        {"indices": [True, 2]},
        {"indices": [0, 10**30]},
        {"indices": None},
        {"values": [1, 2, 3]},
        {"values": None},
    ],
    ids=str,
)
def test_an_object_that_is_not_a_vector_is_refused(changed: dict[str, Any]) -> None:
    value = {"type": "sparse", "size": 3, "indices": [0, 2], "values": [1, 2], **changed}
    with pytest.raises((ValueError, TypeError)):
        parse_vector(value)
