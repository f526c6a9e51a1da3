"""The product-matching data: rows, where they come from, folds without common products."""

from __future__ import annotations

import csv
import gzip
import pathlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

INPUTS = ("Title1", "ItemSpecifics1", "Title2", "ItemSpecifics2")


@dataclass(frozen=True, slots=True)
class Pair:
    """A labelled pair of listings."""

    inputs: tuple[str, str, str, str]
    """In the order of INPUTS."""
    label: int
    """1 for the same product, 0 for different ones."""
    group: str
    """The shops that it comes from."""
    products: tuple[str, str]
    """What tells the product of a side, for folds; never an input of a model."""


def load(folder: pathlib.Path, file: str) -> list[Pair]:
    """The pairs of train.csv or test.csv in the folder, in order."""
    with gzip.open(folder / "provenance.csv.gz", "rt", encoding="utf-8", newline="") as source:
        origins = [row for row in csv.DictReader(source) if row["file"] == file]
    with (folder / file).open(encoding="utf-8", newline="") as source:
        return [
            _pair(row, origin) for row, origin in zip(csv.DictReader(source), origins, strict=True)
        ]


def _pair(row: dict[str, str], origin: dict[str, str]) -> Pair:
    title1, specifics1, title2, specifics2 = (row[name] for name in INPUTS)
    products = (origin["left_entity"] or title1, origin["right_entity"] or title2)
    inputs = (title1, specifics1, title2, specifics2)
    return Pair(inputs, int(row["label"]), origin["source"], products)


def columns(pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """The inputs, by column."""
    return {name: [pair.inputs[i] for pair in pairs] for i, name in enumerate(INPUTS)}


def labels(pairs: Sequence[Pair]) -> npt.NDArray[np.int64]:
    """int64, (rows,)."""
    return np.array([pair.label for pair in pairs], dtype=np.int64)


def folds(pairs: Sequence[Pair], count: int, seed: int) -> list[tuple[list[Pair], list[Pair]]]:
    """(train, held out) for each fold: no product is in both, pairs that span both are left out.

    For pairs without product ids (walmart-amazon) only the right title tells the product.
    """
    keys = sorted({product for pair in pairs for product in _keys(pair)})
    random.Random(seed).shuffle(keys)
    fold = {key: i % count for i, key in enumerate(keys)}
    sides = [(pair, {fold[key] for key in _keys(pair)}) for pair in pairs]
    return [
        (
            [pair for pair, seen in sides if i not in seen],
            [pair for pair, seen in sides if seen == {i}],
        )
        for i in range(count)
    ]


def _keys(pair: Pair) -> tuple[str, ...]:
    return pair.products[1:] if pair.group == "walmart-amazon" else pair.products


def hardened(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """More pairs of the same listings, of kinds that requests have and the data lacks.

    Pairs with item specifics left out on one side or both, listings beside themselves (1), and
    listings beside others drawn at random (0).
    """
    draw = random.Random(seed)
    listings = [side for pair in pairs for side in (pair.inputs[:2], pair.inputs[2:])]
    stripped = [_stripped(pair, draw) for pair in draw.sample(pairs, len(pairs) // 8)]
    count = len(pairs) // 50
    same = [
        _stripped(Pair((*one, *one), 1, "same", (one[0], one[0])), draw)
        for one in draw.sample(listings, count)
    ]
    chosen = zip(draw.sample(listings, count), draw.sample(listings, count), strict=True)
    other = [
        _stripped(Pair((*one, *two), 0, "random", (one[0], two[0])), draw)
        for one, two in chosen
        if one[0] != two[0]
    ]
    return [*stripped, *same, *other]


def _stripped(pair: Pair, draw: random.Random) -> Pair:
    """The pair with some of its item specifics left out."""
    title1, specifics1, title2, specifics2 = pair.inputs
    kept1, kept2 = draw.choice([(False, False), (False, True), (True, False), (True, True)])
    inputs = (title1, specifics1 if kept1 else "", title2, specifics2 if kept2 else "")
    return Pair(inputs, pair.label, pair.group, pair.products)
