"""The features of pairs of product listings: the first stage of the product-matching pipeline."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from .listing import Listing, read
from .pair import FEATURES, compare

CACHED_LISTINGS = 2048
"""Reading a listing takes most of the time of a pair, and the same one is often asked about."""
TITLE_CHARACTERS = 512
SPECIFICS_CHARACTERS = 4096
"""What is beyond is not read, so that a huge text costs neither time nor memory."""


class Model:
    """Compares the two listings of a row."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Reads vocabulary.json: the idf of words (sklearn's TfidfVectorizer), and of all others.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not JSON.
            KeyError: it lacks a part.
        """
        vocabulary = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        known = partial(read, idf=vocabulary["idf"], rarest=vocabulary["rarest"])
        self._read = lru_cache(CACHED_LISTINGS)(known)

    def listing(self, title: str, specifics: str) -> Listing:
        """What is read from a listing."""
        return self._read(title[:TITLE_CHARACTERS], specifics[:SPECIFICS_CHARACTERS])

    def evaluate(
        self, columns: Mapping[str, Sequence[str] | npt.NDArray[np.object_]]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Answers every row.

        `columns` holds Title1, ItemSpecifics1, Title2 and ItemSpecifics2: texts, any of them "".
        The output is features: float64, (rows, len(FEATURES)), all finite.
        """
        rows = zip(
            columns["Title1"],
            columns["ItemSpecifics1"],
            columns["Title2"],
            columns["ItemSpecifics2"],
            strict=True,
        )
        listing = self.listing
        features = [compare(listing(a, x), listing(b, y)) for a, x, b, y in rows]
        return {"features": np.array(features, dtype=np.float64).reshape(-1, len(FEATURES))}
