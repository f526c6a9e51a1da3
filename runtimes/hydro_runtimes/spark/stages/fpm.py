"""Frequent pattern mining: what the rules add to a basket."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from hydro_runtimes.columns import Array, Ragged
from hydro_runtimes.spark.data import word_lists
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import TEXTS
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vocabulary import Vocabulary
from hydro_runtimes.spark.format.part_files import COPY_WHOLE
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class FPGrowthModel:
    """The consequents of all rules whose antecedents are in a basket, without what is in it.

    Null gives an empty list. The rules are not saved, so they are made again from the frequent sets
    and minConfidence. Spark does not define their order, nor that of the answer; here it is that of
    the files.

    Source: org.apache.spark.ml.fpm.FPGrowthModel, org.apache.spark.mllib.fpm.AssociationRules,
    4.3.0.
    """

    baskets: InputColumn
    items: tuple[str, ...]
    places: Vocabulary
    rules: AssociationRules
    prediction: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> FPGrowthModel:
        table = saved.table(key=("items",))
        items, counts = table.values("items"), table.numbers("freq").tolist()
        if not all(isinstance(one, list) and all(isinstance(i, str) for i in one) for one in items):
            raise table.invalid("items are not lists of texts")
        names = tuple(dict.fromkeys(chain.from_iterable(items)))
        known = {frozenset(one): number for one, number in zip(items, counts, strict=True)}
        if (missing := _missing_subset(known)) is not None:
            raise table.invalid(f"the items {', '.join(missing)[:100]} are missing; {COPY_WHOLE}")
        rules = _association_rules(items, names, known, saved.number("minConfidence", 0.8))
        source = InputColumn(saved.uid, saved.text("itemsCol", "items"))
        schema.require(saved, source.name, TEXTS)
        return cls(source, names, Vocabulary(names), rules, schema.add_prediction(saved, TEXTS))

    def transform(self, batch: Batch) -> Batch:
        column = batch.columns[self.baskets.name]
        baskets = {self.baskets.name: column}
        if isinstance(column, Ragged) and column.validity is not None:
            baskets = {self.baskets.name: Ragged(column.offsets, column.elements)}
        _, words = word_lists.read_words(Batch(baskets, batch.rows), self.baskets)
        places = self.places.find_all(words.flat)
        rows = [self._consequents(places[a:b]) for a, b in pairwise(words.offsets.tolist())]
        if column.validity is not None:
            valid = column.validity.tolist()
            rows = [row if ok else [] for row, ok in zip(rows, valid, strict=True)]
        return batch.with_columns({self.prediction: word_lists.words_column(rows)})

    def _consequents(self, basket: Array) -> list[str]:
        there = np.zeros(len(self.items) + 1, dtype=bool)
        there[basket] = True
        there[-1] = False
        found = self.rules.consequents[self.rules.are_met(there)]
        return [self.items[item] for item in dict.fromkeys(found[~there[found]].tolist())]


@dataclass(frozen=True, slots=True)
class AssociationRules:
    """Rules: sets of items, given by their index in the list of all (int32), and one item each."""

    starts: Array
    """int32, (rules,): where the antecedents of each rule start in `antecedents`."""
    antecedents: Array
    consequents: Array

    def are_met(self, there: Array) -> Array:
        """Whether all antecedents of each rule are there: bool, (rules,).

        Args:
            there: for each item whether it is in the basket: bool, (items + 1,).
        """
        if not len(self.starts):
            return np.zeros(0, dtype=bool)
        return np.logical_and.reduceat(there[self.antecedents], self.starts)


def _missing_subset(count: Mapping[frozenset[str], int]) -> list[str] | None:
    """A set that is missing although it is part of a frequent set, and so frequent itself."""
    for whole in count:
        for item in whole if len(whole) > 1 else ():
            if not count.get(whole - {item}):
                return sorted(whole - {item})
    return None


def _association_rules(
    items: list[list[str]],
    names: tuple[str, ...],
    count: Mapping[frozenset[str], int],
    confidence: float,
) -> AssociationRules:
    place = {name: i for i, name in enumerate(names)}
    starts, antecedents, consequents = array("i"), array("i"), array("i")
    for one in items:
        whole = frozenset(one)
        for item in one if len(one) > 1 else ():
            before = whole - {item}
            if count[whole] / np.float64(count[before]) >= confidence:
                starts.append(len(antecedents))
                antecedents.extend(place[name] for name in before)
                consequents.append(place[item])
    return AssociationRules(
        *(np.array(part, dtype=np.int32) for part in (starts, antecedents, consequents))
    )
