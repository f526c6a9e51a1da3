"""Vectors as they are written in JSON: arrays, or objects as Spark writes them. Pure.

{"type": "sparse", "size": n, "indices": [...], "values": [...]} or
{"type": "dense", "values": [...]}; Spark writes 0 for sparse and 1 for dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array

SPARSE, DENSE = ("sparse", 0), ("dense", 1)
MAX_SIZE = 2**31
"""Of a vector; it is less."""


def parse_vector(value: Any) -> tuple[int, Array, Sequence[Any]]:
    """Size, indices (int64, ascending) and elements, which may be anything, of a list or an object.

    Raises:
        ValueError, TypeError, KeyError: it is not a vector.
    """
    if isinstance(value, list) or value["type"] in DENSE:
        elements = value if isinstance(value, list) else value["values"]
        return len(elements), np.arange(len(elements)), elements
    size, elements = value["size"], value["values"]
    if value["type"] not in SPARSE or type(size) is not int or not 0 <= size < MAX_SIZE:
        raise ValueError("not a vector")
    indices = parse_integers(value["indices"], MAX_SIZE)
    are_inside = not len(indices) or (indices[0] >= 0 and indices[-1] < size)
    if len(indices) != len(elements) or not are_inside or (np.diff(indices) <= 0).any():
        raise ValueError("not a sparse vector")
    return size, indices, elements


def parse_integers(values: Sequence[Any], limit: int) -> Array:
    """Integers of at least -limit and less than limit as int64, (len(values),).

    Raises:
        ValueError: one is not a number, not an integer or out of range.
    """
    if float in set(map(type, values)):
        values = [int(v) if type(v) is float and v.is_integer() else v for v in values]
    if not set(map(type, values)) <= {int}:
        raise ValueError("a value is not an integer")
    if values and not -limit <= min(values) <= max(values) < limit:
        raise ValueError("an integer is out of range")
    return np.array(values, np.int64)
