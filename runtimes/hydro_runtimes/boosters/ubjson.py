"""Reads Universal Binary JSON, as XGBoost writes it. Pure.

Source: https://ubjson.org, draft 12. Arrays of one type of number stay arrays of numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_NUMBERS: dict[bytes, np.dtype[Any]] = {
    b"i": np.dtype("i1"),
    b"U": np.dtype("u1"),
    b"I": np.dtype(">i2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}
_CONSTANTS: dict[bytes, bool | None] = {b"Z": None, b"T": True, b"F": False}
_MAX_DEPTH = 100


def parse(data: bytes) -> Any:
    """The value that the bytes state.

    Raises:
        ValueError: they are not whole, or not of this format.
    """
    reader = _Reader(data)
    value = reader.value(reader.take(1), 0)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes after its end")
    return value


class _Reader:
    """Reads one value after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self._data):
            raise ValueError(f"ends after {len(self._data)} bytes, where {size} more are needed")
        taken, self.at = self._data[self.at : end], end
        return taken

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested more than {_MAX_DEPTH} levels deep")
        if marker in _NUMBERS:
            return np.frombuffer(self.take(_NUMBERS[marker].itemsize), _NUMBERS[marker])[0].item()
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        match marker:
            case b"S":
                return self._text()
            case b"C":
                return self.take(1).decode("ascii")
            case b"[":
                return self._array(depth)
            case b"{":
                return self._object(depth)
        raise ValueError(f"byte {self.at - 1} is {marker!r}, which begins no value")

    def _count(self) -> int:
        count = self.value(self.take(1), 0)
        if type(count) is not int or count < 0:
            raise ValueError(f"has a length of {count!r}")
        return count

    def _text(self) -> str:
        return self.take(self._count()).decode()

    def _size(self) -> tuple[bytes, int]:
        """The type and number of elements, where they are stated: otherwise b"" and -1."""
        kind, count = b"", -1
        if self._next() == b"$":
            self.take(1)
            kind = self.take(1)
            if kind in _CONSTANTS:  # a few bytes could state any number of them
                raise ValueError(f"has a list of {kind!r} without values")
        if self._next() == b"#":
            self.take(1)
            count = self._count()
        return kind, count

    def _next(self) -> bytes:
        return self._data[self.at : self.at + 1]

    def _array(self, depth: int) -> Any:
        kind, count = self._size()
        if kind in _NUMBERS and count >= 0:
            dtype = _NUMBERS[kind]
            return np.frombuffer(self.take(count * dtype.itemsize), dtype)
        found: list[Any] = []
        while self._has_more(len(found), count, b"]"):
            found.append(self.value(kind or self.take(1), depth + 1))
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._size()
        found: dict[str, Any] = {}
        done = 0
        while self._has_more(done, count, b"}"):
            name = self._text()
            found[name] = self.value(kind or self.take(1), depth + 1)
            done += 1
        return found

    def _has_more(self, done: int, count: int, end: bytes) -> bool:
        """Whether there is another element; without a count, the end is read."""
        if count >= 0:
            return done < count
        if self._data[self.at : self.at + 1] != end:
            return True
        self.at += 1
        return False
