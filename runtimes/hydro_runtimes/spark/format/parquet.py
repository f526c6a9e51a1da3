"""Rows of parquet as numpy arrays and Python values, whose types are checked.

Vectors and matrices are structs as org.apache.spark.ml.linalg.{VectorUDT, MatrixUDT} lay them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike

from hydro_runtimes.columns import Array
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.spark.format import model_size, part_files


class Table:
    """Rows read from parquet, by column; a dot in a name leads into a struct.

    All methods raise InvalidModel where a column is missing, of another type, or has nulls.
    """

    def __init__(self, invalid: Callable[[str], InvalidModel], name: str, table: pa.Table) -> None:
        """Takes the error of the stage for a message, the name of the folder, and the table."""
        self._invalid = invalid
        self._name = name
        self._table = table
        self.rows: int = table.num_rows
        self.names: Sequence[str] = table.column_names

    def has_column(self, name: str) -> bool:
        return part_files.find_column(self._table, name) is not None

    def numbers(self, name: str) -> Array:
        """A column of numbers without nulls: int64 or float64, (rows,)."""
        return self._column_numbers(name, self._column(name))

    def ints(self, name: str) -> Array:
        """A column of ints without nulls: int32, (rows,)."""
        column = self._column(name)
        # As they are, without a copy of twice the size.
        if pa.types.is_int32(column.type) and not column.null_count:
            return np.asarray(column.to_numpy(zero_copy_only=False))
        values = self._column_numbers(name, column)
        if values.dtype != np.int64 or (len(values) and not _are_ints(values)):
            raise self._wrong_type(name, column.type, "ints")
        return values.astype(np.int32)

    def lists(self, name: str, dtype: DTypeLike | None = None) -> tuple[Array, Array]:
        """A column of lists of numbers: offsets int64 (rows + 1,), values as `numbers`."""
        column = self._column(name)
        if not pa.types.is_list(column.type) or column.null_count:
            raise self._wrong_type(name, column.type, "lists")
        values = self._column_numbers(name, column.flatten(), dtype)
        lengths = np.asarray(column.value_lengths().to_numpy(zero_copy_only=False), dtype=np.int64)
        return np.concatenate(([0], np.cumsum(lengths))), values

    def texts(self, name: str) -> list[str]:
        """A column of texts without nulls."""
        column = self._column(name)
        if not pa.types.is_string(column.type) or column.null_count:
            raise self._wrong_type(name, column.type, "texts")
        return _texts(column)

    def text_lists(self, name: str) -> list[list[str]]:
        """The lists of texts in the only row."""
        column = self._column(name)
        self._only_row()
        if not (pa.types.is_list(column.type) and pa.types.is_list(column.type.value_type)):
            raise self._wrong_type(name, column.type, "lists of texts")
        lists = column.flatten()
        texts = lists.flatten()
        if column.null_count or lists.null_count or not _are_texts(texts):
            raise self._wrong_type(name, column.type, "lists of texts")
        ends = np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False)).tolist()
        return [_texts(texts[start:end]) for start, end in pairwise([0, *ends])]

    def values(self, name: str) -> list[Any]:
        """A column as Python values. For columns of few rows."""
        return list(self._column(name).to_pylist())

    def value(self, name: str) -> Any:
        """The value of the only row."""
        return self.values(name)[self._only_row()]

    def number(self, name: str) -> float:
        """The number in the only row."""
        return float(self.numbers(name)[self._only_row()])

    def flag(self, name: str) -> bool:
        """The boolean in the only row."""
        value = self.value(name)
        if not isinstance(value, bool):
            raise self._wrong_type(name, self._column(name).type, "a boolean")
        return value

    def text_list(self, name: str) -> list[str]:
        """The list of texts in the only row."""
        column = self._column(name)
        self._only_row()
        if not pa.types.is_list(column.type) or column.null_count:
            raise self._wrong_type(name, column.type, "a list of texts")
        texts = column.flatten()
        if not _are_texts(texts):
            raise self._wrong_type(name, column.type, "a list of texts")
        return _texts(texts)

    def vector(self, name: str) -> Array:
        """The vector in the only row: float64, (size,)."""
        return self._parse_vector(name, self.value(name))

    def stored_elements(self, name: str) -> Array | None:
        """The elements that the vector in the only row stores, or the columns that its matrix does.

        The value must have been read by `vector` or `matrix` before, which check it.

        Returns:
            int64, ascending; None if all are stored.
        """
        value = self.value(name)
        if value["type"] == 1:
            return None
        if "indices" in value:
            return np.array(value["indices"], dtype=np.int64)
        if value["isTransposed"]:
            return np.unique(np.array(value["rowIndices"], dtype=np.int64))
        return np.flatnonzero(np.diff(value["colPtrs"]))

    def vectors(self, name: str) -> list[Array]:
        """The vector of each row: float64, (size,) each."""
        return [self._parse_vector(name, value) for value in self.values(name)]

    def vector_list(self, name: str) -> list[Array]:
        """The list of vectors in the only row."""
        return [self._parse_vector(name, value) for value in self._list_value(name)]

    def matrix(self, name: str) -> Array:
        """The matrix in the only row: float64, (numRows, numCols)."""
        return self._parse_matrix(name, self.value(name))

    def matrices(self, name: str) -> list[Array]:
        """The matrix of each row."""
        return [self._parse_matrix(name, value) for value in self.values(name)]

    def matrix_list(self, name: str) -> list[Array]:
        """The list of matrices in the only row."""
        return [self._parse_matrix(name, value) for value in self._list_value(name)]

    def invalid(self, message: str) -> InvalidModel:
        return self._invalid(f"{self._name}: {message}")

    def _list_value(self, name: str) -> list[Any]:
        value = self.value(name)
        if not isinstance(value, list):
            raise self._wrong_type(name, self._column(name).type, "a list")
        return value

    def _only_row(self) -> int:
        if self.rows != 1:
            raise self.invalid(f"has {self.rows} rows, want 1")
        return 0

    def _column(self, name: str) -> Any:
        column = part_files.find_column(self._table, name)
        if column is None:
            wanted = ", ".join(self._table.column_names)
            raise self.invalid(f"has no column '{name}', but {wanted or 'none'}")
        return column

    def _column_numbers(self, name: str, column: Any, dtype: DTypeLike | None = None) -> Array:
        kind = column.type
        if column.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise self._wrong_type(name, kind, "numbers")
        wide = np.int64 if pa.types.is_integer(kind) else np.float64
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=dtype or wide)

    def _parse_vector(self, name: str, value: Any) -> Array:
        try:
            values = np.array(value["values"], dtype=np.float64)
            if value["type"] == 1:
                return values
            return self._scatter(name, value["size"], np.array(value["indices"], np.int64), values)
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise self._wrong_type(name, self._column(name).type, "a vector") from error

    def _parse_matrix(self, name: str, value: Any) -> Array:
        try:
            rows, columns = int(value["numRows"]), int(value["numCols"])
            values = np.array(value["values"], dtype=np.float64)
            major, minor = (rows, columns) if value["isTransposed"] else (columns, rows)
            if value["type"] == 0:
                ends = np.array(value["colPtrs"], dtype=np.int64)
                # Spark's matrices are by columns, unless transposed; then the pointers are those of
                # rows.
                if len(ends) != major + 1 or rows < 0 or columns < 0:
                    raise ValueError("wrong number of column pointers")
                at = np.repeat(np.arange(major), np.diff(ends)) * minor
                at += np.array(value["rowIndices"], dtype=np.int64)
                values = self._scatter(name, rows * columns, at, values)
            # A view; the copy below is made only where the order is the other one.
            matrix = values.reshape(major, minor)
            return matrix if value["isTransposed"] else np.ascontiguousarray(matrix.T)
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise self._wrong_type(name, self._column(name).type, "a matrix") from error

    def _scatter(self, name: str, size: int, indices: Array, values: Array) -> Array:
        if size < 0:
            raise self.invalid(f"column '{name}' has {size} elements, want 0 or more")
        if (reason := model_size.size_problem(size)) is not None:
            raise self.invalid(f"column '{name}' {reason}")
        # Before anything is written: NumPy takes negative indices from the end without a word.
        if len(indices) != len(values) or (
            len(indices) and not (indices.min() >= 0 and indices.max() < size)
        ):
            raise self.invalid(f"column '{name}' has indices outside 0 to {size - 1}")
        dense = np.zeros(size)
        dense[indices] = values
        return dense

    def _wrong_type(self, name: str, kind: Any, want: str) -> InvalidModel:
        return self.invalid(f"column '{name}' is {shorten(str(kind))}, want {want} without nulls")


def _are_texts(column: Any) -> bool:
    return not len(column) or bool(pa.types.is_string(column.type) and not column.null_count)


def _texts(column: Any) -> list[str]:
    """A column as texts, by way of numpy, which is four times faster than Arrow's to_pylist."""
    texts: list[str] = column.to_numpy(zero_copy_only=False).tolist()
    return texts


def _are_ints(values: Array) -> bool:
    return bool(values.min() >= -(2**31) and values.max() < 2**31)


def shorten(value: Any) -> str:
    """A value for a message, shortened if it is long."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 100 else f"{text[:97]}..."
