"""Functions of embeddings: arrays of floats.

Source: org.apache.spark.sql.catalyst.expressions.vectorExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.binding import Function, strict
from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.types import FLOAT, SqlType, array_of

_FLOATS = array_of(FLOAT)


def _of_two(compute: Callable[[Array, Array], Any]) -> Function:
    def computed(one: list[float | None], other: list[float | None]) -> float | None:
        if len(one) != len(other):
            raise RowError(
                f"VECTOR_DIMENSION_MISMATCH: the arrays have {len(one)} and {len(other)} elements"
            )
        if None in one or None in other:
            return None
        return _number(compute(_singles(one), _singles(other)))

    return strict(computed, [_FLOATS, _FLOATS], FLOAT, exact=True)


def _of_one(compute: Callable[[Array, float], Any], gives: SqlType = FLOAT) -> Function:
    def computed(values: list[float | None], degree: float = 2.0) -> Any:
        if degree not in (1.0, 2.0, np.inf):
            raise RowError(f"INVALID_VECTOR_NORM_DEGREE: got {degree}, want 1, 2 or infinity")
        if None in values:
            return None
        return compute(_singles(values), degree)

    return strict(computed, [_FLOATS, FLOAT], gives, least=1, exact=True)


def _singles(values: list[Any]) -> Array:
    return np.array(values, dtype=np.float32)


def _number(value: Any) -> float | None:
    return None if value is None else float(np.float32(value))


def _inner(one: Array, other: Array) -> np.float32:
    """Added up in single precision, one after the other."""
    total = np.float32(0)
    for x in one * other:
        total = np.float32(total + x)
    return total


def _cosine(one: Array, other: Array) -> Any:
    lengths = np.sqrt(np.float64(_inner(one, one)) * np.float64(_inner(other, other)))
    return None if lengths == 0 else _inner(one, other) / lengths


def _distance(one: Array, other: Array) -> Any:
    gap = one - other
    return np.sqrt(np.float64(_inner(gap, gap)))


def _norm(values: Array, degree: float) -> float:
    if degree == 1:
        return float(_inner(np.abs(values), np.ones_like(values)))
    if degree == 2:
        return float(np.float32(np.sqrt(np.float64(_inner(values, values)))))
    return float(np.abs(values).max(initial=0))


def _normalized(values: Array, degree: float) -> list[float] | None:
    norm = np.float32(_norm(values, degree))
    return None if norm == 0 else [float(x) for x in values / norm]


VECTORS: Mapping[str, Function] = {
    "vector_cosine_similarity": _of_two(_cosine),
    "vector_inner_product": _of_two(_inner),
    "vector_l2_distance": _of_two(_distance),
    "vector_norm": _of_one(_norm),
    "vector_normalize": _of_one(_normalized, _FLOATS),
}
"""By Spark's name."""
