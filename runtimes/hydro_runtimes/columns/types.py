"""The types of elements, and how rows are chosen."""

from __future__ import annotations

import enum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Validity: TypeAlias = npt.NDArray[np.bool_] | None
"""bool, (rows,): False where the row is null; None where no row is."""
Rows: TypeAlias = Array | slice
"""Some rows, in order: indices (int), a mask (bool, one for each row), or a slice."""


class DataType(enum.Enum):
    """The type of an element, named as in hydro.serving.v1.DataType."""

    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    JSON = "json"

    # Members are singletons; Enum's own hashes the name, in Python, at each look into a table.
    __hash__ = object.__hash__

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of numpy, little-endian; object for STRING and JSON."""
        return _DTYPES[self]


_DTYPES = {
    DataType.BOOL: np.dtype(np.bool_),
    DataType.INT32: np.dtype("<i4"),
    DataType.INT64: np.dtype("<i8"),
    DataType.FLOAT32: np.dtype("<f4"),
    DataType.FLOAT64: np.dtype("<f8"),
    DataType.STRING: np.dtype(object),
    DataType.JSON: np.dtype(object),
}
TYPE_OF_DTYPE = {dtype: name for name, dtype in _DTYPES.items() if not dtype.hasobject}
