"""Texts and their indices, in little more memory than the texts themselves."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from hydro_runtimes.columns import Array

_PIECE = 1 << 16
"""Texts that are encoded at a time."""


class Vocabulary:
    """A fixed list of texts in which the index of a text is looked up.

    A dict of 200,000 words takes ten times the bytes of the words. Here the words lie one after the
    other in one bytes object, and their indices are sorted by buckets of their hashes.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Of equal texts the last one counts, as in a map of Scala.

        Raises:
            OverflowError: the texts have 2 GiB or more.
        """
        pieces = [_encode_all(texts[at : at + _PIECE]) for at in range(0, len(texts), _PIECE)]
        self._bytes = b"".join(data for data, _ in pieces)
        if len(self._bytes) >= 1 << 31:
            raise OverflowError(f"the texts have {len(self._bytes)} bytes, want less than 2 GiB")
        lengths = np.concatenate([np.zeros(1, np.int64), *(sizes for _, sizes in pieces)])
        self._ends = _int_array(np.cumsum(lengths))
        self._mask = (1 << max(0, (len(texts) - 1).bit_length() - 1)) - 1
        bucket = np.fromiter(map(hash, texts), np.int64, len(texts)) & self._mask
        self._places = _int_array(np.argsort(bucket, kind="stable"))
        counts = np.bincount(bucket, minlength=self._mask + 1)
        self._starts = _int_array(np.concatenate(([0], np.cumsum(counts))))
        """For each bucket, where its places start; after the last, the number of texts."""

    def __len__(self) -> int:
        return len(self._ends) - 1

    def find(self, text: str) -> int:
        """The index of a text; -1 if it is not in the list."""
        data, ends, places = _encode(text), self._ends, self._places
        bucket = hash(text) & self._mask
        # Backwards, so that the last of equal texts is found.
        for at in range(self._starts[bucket + 1] - 1, self._starts[bucket] - 1, -1):
            place = places[at]
            if self._bytes[ends[place] : ends[place + 1]] == data:
                return place
        return -1

    def find_all(self, texts: Iterable[str | None]) -> Array:
        """As `find`, for many texts: int64, (texts,); -1 for None."""
        listed = list(texts)
        known = {text: -1 if text is None else self.find(text) for text in dict.fromkeys(listed)}
        return np.fromiter(map(known.__getitem__, listed), np.int64, len(listed))


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _encode_all(texts: Sequence[str]) -> tuple[bytes, Array]:
    """The bytes of all, one after the other, and how many each has: int64."""
    joined = "".join(texts)
    if joined.isascii():
        return joined.encode(), np.fromiter(map(len, texts), np.int64, len(texts))
    parts = list(map(_encode, texts))
    return b"".join(parts), np.fromiter(map(len, parts), np.int64, len(parts))


def _int_array(values: Array) -> array[int]:
    """An array whose elements Python reads faster than those of a numpy array."""
    return array("i", values.astype(np.intc).tobytes())
