"""Functions of embeddings: arrays of floats.

Source: org.apache.spark.sql.catalyst.expressions.vectorExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.binding import Function, row_function
from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.types import FLOAT, SqlType, array_of

_FLOATS = array_of(FLOAT)


def _two_vectors_function(compute: Callable[[Array, Array], Any]) -> Function:
    def compute_checked(one: list[float | None], other: list[float | None]) -> float | None:
        if len(one) != len(other):
            raise RowError(
                f"VECTOR_DIMENSION_MISMATCH: the arrays have {len(one)} and {len(other)} elements"
            )
        if None in one or None in other:
            return None
        return _single_or_none(compute(_float32_array(one), _float32_array(other)))

    return row_function(compute_checked, [_FLOATS, _FLOATS], FLOAT, exact=True)


def _one_vector_function(
    compute: Callable[[Array, float], Any], gives: SqlType = FLOAT
) -> Function:
    def compute_checked(values: list[float | None], degree: float = 2.0) -> Any:
        if degree not in (1.0, 2.0, np.inf):
            raise RowError(f"INVALID_VECTOR_NORM_DEGREE: got {degree}, want 1, 2 or infinity")
        if None in values:
            return None
        return compute(_float32_array(values), degree)

    return row_function(compute_checked, [_FLOATS, FLOAT], gives, least=1, exact=True)


def _float32_array(values: list[Any]) -> Array:
    return np.array(values, dtype=np.float32)


def _single_or_none(value: Any) -> float | None:
    return None if value is None else float(np.float32(value))


def _inner_product(one: Array, other: Array) -> np.float32:
    """The inner product, added in single precision one after the other, as Spark does."""
    total = np.float32(0)
    for x in one * other:
        total = np.float32(total + x)
    return total


def _cosine_similarity(one: Array, other: Array) -> Any:
    lengths = np.sqrt(
        np.float64(_inner_product(one, one)) * np.float64(_inner_product(other, other))
    )
    return None if lengths == 0 else _inner_product(one, other) / lengths


def _l2_distance(one: Array, other: Array) -> Any:
    gap = one - other
    return np.sqrt(np.float64(_inner_product(gap, gap)))


def _vector_norm(values: Array, degree: float) -> float:
    if degree == 1:
        return float(_inner_product(np.abs(values), np.ones_like(values)))
    if degree == 2:
        return float(np.float32(np.sqrt(np.float64(_inner_product(values, values)))))
    return float(np.abs(values).max(initial=0))


def _normalize_vector(values: Array, degree: float) -> list[float] | None:
    norm = np.float32(_vector_norm(values, degree))
    return None if norm == 0 else [float(x) for x in values / norm]


VECTORS: Mapping[str, Function] = {
    "vector_cosine_similarity": _two_vectors_function(_cosine_similarity),
    "vector_inner_product": _two_vectors_function(_inner_product),
    "vector_l2_distance": _two_vectors_function(_l2_distance),
    "vector_norm": _one_vector_function(_vector_norm),
    "vector_normalize": _one_vector_function(_normalize_vector, _FLOATS),
}
"""By Spark's name."""
