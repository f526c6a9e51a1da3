"""A column of texts, and texts as bytes in the layout of BYTES in the Open Inference Protocol."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from hydro_runtimes.columns.row_selection import row_indices, take_validity
from hydro_runtimes.columns.types import DataType, Rows, Validity

_LENGTH = struct.Struct("<I")
_PIECE_TEXTS = 1 << 15
_LONG_BYTES = 1 << 20
"""Bytes of a text."""


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
            self._values = unpack_texts(self._packed or b"", self.rows)
        return self._values

    @property
    def packed(self) -> bytes:
        """The texts as bytes; a null row takes a length of 0."""
        if self._packed is None:
            self._packed = pack_texts(self._values or ())
        return self._packed

    def check(self) -> None:
        """Raises UnicodeEncodeError where a text holds half of a surrogate pair."""
        if self._packed is None:
            for piece in _pieces(self._values or ()):
                "".join(piece).encode()

    def take(self, rows: Rows) -> Strings:
        """Some of the rows."""
        values, validity = self.values, take_validity(self.validity, rows)
        # A slice of a list is made in C.
        if isinstance(rows, slice):
            return Strings(values[rows], validity, self.type)
        return Strings([values[i] for i in row_indices(rows).tolist()], validity, self.type)


def pack_texts(texts: Sequence[str]) -> bytes:
    """Texts in the layout of BYTES: for each a 4-byte little-endian length, then UTF-8."""
    return (
        _pack_piece(texts)
        if len(texts) <= _PIECE_TEXTS
        else b"".join(map(_pack_piece, _pieces(texts)))
    )


def _pieces(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in pieces: a single call over many would hold the interpreter for long."""
    if len(texts) <= _PIECE_TEXTS:
        return iter((texts,))
    return (texts[at : at + _PIECE_TEXTS] for at in range(0, len(texts), _PIECE_TEXTS))


def _pack_piece(texts: Sequence[str]) -> bytes:
    parts: list[bytes] = []
    for text in texts:
        data = text.encode()
        parts.append(_LENGTH.pack(len(data)))
        parts.append(data)
    return b"".join(parts)


def unpack_texts(packed: bytes, rows: int) -> list[str]:
    """The inverse of `pack`.

    Raises:
        ValueError: the bytes do not hold this number of texts exactly, or not UTF-8.
    """
    texts: list[str] = []
    at, end = 0, len(packed)
    # A length that leads behind the end is found below, by the sums.
    while at + 4 <= end and len(texts) < rows:
        (length,) = _LENGTH.unpack_from(packed, at)
        at += 4 + length
        if length > _LONG_BYTES:  # decoded in place: copying it would hold the interpreter, too
            texts.append(str(memoryview(packed)[at - length : at], "utf-8"))
        else:
            texts.append(packed[at - length : at].decode())
    if at != end or len(texts) != rows:
        raise ValueError(f"packed texts: got {len(texts)} in {end} bytes, want {rows}")
    return texts
