"""Named columns of equal length: what evaluators read and write.

A column has one of four forms: `Dense`, `Strings`, `Ragged` or `Sparse`. Each knows how many rows
it has and can take some of them. Lists of lists are `Ragged` columns of `Ragged` ones. Nothing here
knows JSON, protobuf or any model. Values are immutable: treat every array as read-only.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Container, ItemsView, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass
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
_TYPES = {dtype: name for name, dtype in _DTYPES.items() if not dtype.hasobject}


MAX_DENSE_BYTES = 64 << 20
"""Of sparse vectors that are made dense at once; a few bytes can claim any size."""
MAX_DENSE_SIZE = 1 << 20
"""Elements of one of them: to write out more in an answer would hold up others."""


class DenseTooLarge(ValueError):
    """Sparse vectors that would take too much memory as dense ones."""


@dataclass(slots=True, eq=False)
class Dense:
    """A number, a boolean or a tensor of fixed shape in every row.

    Never changed; not frozen, because that doubles what one costs and each stage makes some.
    """

    values: Array
    """(rows, *shape), of one of the numeric dtypes of `DataType`."""
    validity: Validity = None

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def type(self) -> DataType:
        return _TYPES[self.values.dtype]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[1:]

    def take(self, rows: Rows) -> Dense:
        """Some of the rows."""
        return Dense(self.values[rows], _take(self.validity, rows))


class Strings:
    """A text, or a JSON value as text, in every row.

    Held as Python strings, or as bytes in the layout of BYTES in the Open Inference Protocol
    (a 4-byte little-endian length, then UTF-8); either is made from the other when first asked
    for, so that a column that is only passed on is never decoded.
    """

    __slots__ = ("_packed", "_values", "rows", "type", "validity")
    shape: tuple[int, ...] = ()

    def __init__(
        self,
        values: Sequence[str] | None = None,
        validity: Validity = None,
        type: DataType = DataType.STRING,
        *,
        packed: bytes | None = None,
        rows: int | None = None,
    ) -> None:
        """From `values` (null rows hold ""), or from `packed` with the number of its rows.

        Raises:
            ValueError: both or neither are given.
        """
        if (values is None) == (packed is None):
            raise ValueError("want either values or packed")
        self._values = values
        self._packed = packed
        self.validity = validity
        self.type = type
        self.rows: int = len(values) if values is not None else rows or 0

    @property
    def values(self) -> Sequence[str]:
        """The texts; "" for a null row.

        Raises:
            ValueError: the packed bytes do not hold as many texts as there are rows, or not UTF-8.
        """
        if self._values is None:
            self._values = unpack(self._packed or b"", self.rows)
        return self._values

    @property
    def packed(self) -> bytes:
        """The texts as bytes; a null row takes a length of 0."""
        if self._packed is None:
            self._packed = pack(self._values or ())
        return self._packed

    def check(self) -> None:
        """Raises UnicodeEncodeError where a text holds half of a surrogate pair."""
        if self._packed is None:
            for some in _steps(self._values or ()):
                "".join(some).encode()

    def take(self, rows: Rows) -> Strings:
        """Some of the rows."""
        values, validity = self.values, _take(self.validity, rows)
        if isinstance(rows, slice):
            return Strings(values[rows], validity, self.type)
        return Strings([values[i] for i in _indices(rows).tolist()], validity, self.type)


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """A list in every row, of any length."""

    offsets: npt.NDArray[np.int64]
    """int64, (rows + 1,): row i has the elements offsets[i] to offsets[i + 1] (without)."""
    elements: Lists
    """One row an element; its validity tells which elements are null."""
    validity: Validity = None

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    @property
    def type(self) -> DataType:
        return self.elements.type

    @property
    def shape(self) -> tuple[int, ...]:
        return (-1, *self.elements.shape)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Of each row's list: int64, (rows,)."""
        return np.diff(self.offsets)

    def take(self, rows: Rows) -> Ragged:
        """Some of the rows."""
        offsets, chosen = _spans(self.offsets, rows)
        return Ragged(offsets, self.elements.take(chosen), _take(self.validity, rows))


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A vector in every row, of which only some elements are stored (CSR).

    A row that stores all its elements, zeros too, is a dense vector among sparse ones; only such a
    row may have null elements.
    """

    size: int
    """Of every vector; of the largest where they differ."""
    offsets: npt.NDArray[np.int64]
    """int64, (rows + 1,)."""
    indices: npt.NDArray[np.int32]
    """int32, ascending within a row."""
    values: npt.NDArray[np.float64]
    """float64, parallel to indices."""
    validity: Validity = None
    sizes: npt.NDArray[np.int64] | None = None
    """int64, (rows,): the size of each row's vector; None where all are of `size`."""
    element_validity: Validity = None
    """bool, parallel to indices: False where an element is null; None where none is."""

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    @property
    def type(self) -> DataType:
        return DataType.FLOAT64

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size if self.sizes is None else -1,)

    def take(self, rows: Rows) -> Sparse:
        """Some of the rows."""
        offsets, chosen = _spans(self.offsets, rows)
        size, sizes = self.size, None if self.sizes is None else self.sizes[rows]
        if sizes is not None:
            size = int(sizes.max(initial=0))
            sizes = None if (sizes == size).all() else sizes
        validity, elements = _take(self.validity, rows), _take(self.element_validity, chosen)
        indices, values = self.indices[chosen], self.values[chosen]
        return Sparse(size, offsets, indices, values, validity, sizes, elements)

    @property
    def dense_bytes(self) -> int:
        """Of the same vectors with every element stored."""
        return self.rows * self.size * 8

    def dense(self) -> Dense:
        """The same vectors with every element stored: float64, (rows, size).

        Raises:
            ValueError: they differ in size.
            DenseTooLarge: they would take too much memory; some of the rows may not.
        """
        if self.sizes is not None:
            raise ValueError("sparse vectors differ in size")
        got = f"{self.rows} sparse vectors of size {self.size} as dense"
        if self.size > MAX_DENSE_SIZE:
            raise DenseTooLarge(f"{got}, want at most {MAX_DENSE_SIZE} elements each")
        if self.dense_bytes > MAX_DENSE_BYTES:
            raise DenseTooLarge(f"{got}, want at most {MAX_DENSE_BYTES // 8} elements")
        values = np.zeros((self.rows, self.size))
        values[np.repeat(np.arange(self.rows), np.diff(self.offsets)), self.indices] = self.values
        return Dense(values, self.validity)


Lists: TypeAlias = Dense | Strings | Ragged
"""Scalars, tensors, and lists of them: all but `Sparse`."""
Column: TypeAlias = Lists | Sparse


_NONE: Mapping[str, Array] = {}


class Columns(Mapping[str, Column]):
    """Columns by name, in order, of the same rows.

    A column that only some rows have holds those alone; `present` tells which they are. What a
    model is given has no such column.
    """

    __slots__ = ("_columns", "present", "rows")

    def __init__(
        self,
        columns: Mapping[str, Column],
        rows: int | None = None,
        present: Mapping[str, Array] | None = None,
    ) -> None:
        """Rows need only be given where there is no column, or where not all rows have one.

        Args:
            columns: by name.
            rows: their number.
            present: by name, for columns that some rows lack: the rows (int64, ascending) that
                have it, one at least.

        Raises:
            ValueError: the columns differ in their number of rows.
        """
        self._columns = dict(columns)
        self.present: Mapping[str, Array] = _NONE
        if present:
            self.present = {name: present[name] for name in self._columns if name in present}
        for name, column in self._columns.items():
            if name in self.present:
                continue
            if rows is None:
                rows = column.rows
            elif column.rows != rows:
                sizes = {name: each.rows for name, each in self._columns.items()}
                raise ValueError(f"columns differ in rows: got {sizes}, want {rows} in each")
        self.rows: int = rows or 0

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    # Mapping's own go through __getitem__ for each column: 3 us a frame.
    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def values(self) -> ValuesView[Column]:
        return self._columns.values()

    def items(self) -> ItemsView[str, Column]:
        return self._columns.items()

    def take(self, rows: Rows) -> Columns:
        """Some of the rows; a column that none of them has is gone."""
        if not self.present:
            chosen = {name: column.take(rows) for name, column in self.items()}
            return Columns(chosen, None if chosen else len(_indices(rows, self.rows)))
        indices = _indices(rows, self.rows)
        taken: dict[str, Column] = {}
        present: dict[str, Array] = {}
        for name, column in self.items():
            if name not in self.present:
                taken[name] = column.take(indices)
                continue
            at, have = _found(self.present[name], indices)
            if len(have):
                taken[name] = column.take(at)
            if 0 < len(have) < len(indices):
                present[name] = have
        return Columns(taken, len(indices), present)

    def only(self, names: Container[str]) -> Columns:
        """The columns of some names, of all rows."""
        columns = {name: column for name, column in self.items() if name in names}
        return Columns(columns, self.rows, self.present)

    def plus(self, columns: Mapping[str, Column]) -> Columns:
        """These columns and the given ones, which replace those of the same name."""
        present = {name: at for name, at in self.present.items() if name not in columns}
        if isinstance(columns, Columns):
            present |= columns.present
        return Columns({**self._columns, **columns}, self.rows, present)


def pack(texts: Sequence[str]) -> bytes:
    """Texts in the layout of BYTES: for each a 4-byte little-endian length, then UTF-8."""
    return _pack(texts) if len(texts) <= _STEP else b"".join(map(_pack, _steps(texts)))


def _steps(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """A call over all of many texts would hold the interpreter for long."""
    if len(texts) <= _STEP:
        return iter((texts,))
    return (texts[at : at + _STEP] for at in range(0, len(texts), _STEP))


def _pack(texts: Sequence[str]) -> bytes:
    parts: list[bytes] = []
    for text in texts:
        data = text.encode()
        parts.append(_LENGTH.pack(len(data)))
        parts.append(data)
    return b"".join(parts)


def unpack(packed: bytes, rows: int) -> list[str]:
    """The inverse of `pack`.

    Raises:
        ValueError: the bytes do not hold this number of texts exactly, or not UTF-8.
    """
    texts: list[str] = []
    at, end = 0, len(packed)
    while at + 4 <= end and len(texts) < rows:
        (length,) = _LENGTH.unpack_from(packed, at)
        at += 4 + length
        if length > _LONG:  # decoded where it is: a copy of it would hold the interpreter as well
            texts.append(str(memoryview(packed)[at - length : at], "utf-8"))
        else:
            texts.append(packed[at - length : at].decode())
    if at != end or len(texts) != rows:
        raise ValueError(f"packed texts: got {len(texts)} in {end} bytes, want {rows}")
    return texts


_LENGTH = struct.Struct("<I")
_STEP = 1 << 15
_LONG = 1 << 20
"""Bytes of a text."""


def _take(validity: Validity, rows: Rows) -> Validity:
    return None if validity is None else validity[rows]


def _indices(rows: Rows, count: int = 0) -> Array:
    if isinstance(rows, slice):
        return np.arange(count)[rows]
    return np.flatnonzero(rows) if rows.dtype == np.bool_ else rows


def _spans(offsets: npt.NDArray[np.int64], rows: Rows) -> tuple[npt.NDArray[np.int64], Array]:
    """The offsets of the chosen rows, and the indices of their elements."""
    indices = _indices(rows, len(offsets) - 1)
    starts, lengths = offsets[:-1][indices], np.diff(offsets)[indices]
    taken = np.concatenate(([0], np.cumsum(lengths)))
    shift = np.repeat(starts - taken[:-1], lengths)
    return taken, np.arange(taken[-1]) + shift


def _found(present: Array, rows: Array) -> tuple[Array, Array]:
    """Where among `present` those of `rows` are that are there, and where they are in `rows`."""
    at = np.searchsorted(present, rows)
    have = np.flatnonzero(present[np.minimum(at, len(present) - 1)] == rows)
    return at[have], have
