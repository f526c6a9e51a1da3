"""Texts and their places, in little more memory than the texts themselves."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from hydro_runtimes.columns import Array


class Vocabulary:
    """A fixed list of texts, looked up by text.

    A dict of 200,000 words takes ten times the bytes of the words. Here they lie one after the
    other, beside a table of hashes with open addressing.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Of equal texts the last one counts, as in a Scala map.

        Raises:
            OverflowError: the texts have 2 GiB or more.
        """
        parts = [_encoded(text) for text in texts]
        self._bytes = b"".join(parts)
        self._ends = array("i", [0])
        for part in parts:
            self._ends.append(self._ends[-1] + len(part))
        self._slots = array("i", [-1]) * (len(texts) * 3 // 2 + 1)
        for place, text in enumerate(texts):
            self._slots[self._slot(text)] = place

    def __len__(self) -> int:
        return len(self._ends) - 1

    def place(self, text: str) -> int:
        """The index of a text; -1 where it is none of these."""
        return self._slots[self._slot(text)]

    def places(self, texts: Iterable[str | None]) -> Array:
        """As `place`, of many texts, most of them seen before: int64; -1 for None."""
        listed = list(texts)
        known = {text: -1 if text is None else self.place(text) for text in dict.fromkeys(listed)}
        return np.array([known[text] for text in listed], dtype=np.int64)

    def _slot(self, text: str) -> int:
        """Where the text is in the table, or would be."""
        data, slots, ends = _encoded(text), self._slots, self._ends
        at = hash(text) % len(slots)
        while (place := slots[at]) >= 0:
            if self._bytes[ends[place] : ends[place + 1]] == data:
                break
            at = at + 1 if at + 1 < len(slots) else 0
        return at


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
