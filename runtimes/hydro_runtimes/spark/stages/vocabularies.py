"""Lists of words to vectors, by a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.data import word_lists
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import TEXTS, vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import read_vectors, row_ids, row_sums
from hydro_runtimes.spark.data.vocabulary import Vocabulary
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.stages.hashing import sum_by_index
from hydro_runtimes.spark.trees import chunks


@dataclass(frozen=True)
class CountVectorizerModel:
    """Counts the words of the vocabulary; a minTF below 1 is a fraction of all words of the row.

    Source: org.apache.spark.ml.feature.CountVectorizerModel, 4.3.0.
    """

    input: InputColumn
    output: str
    vocabulary: Vocabulary
    least: float
    binary: bool

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> CountVectorizerModel:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        words = saved.table().text_list("vocabulary")
        schema.require(saved, source.name, TEXTS)
        schema.add_column(output, vector_info(len(words)))
        least, binary = saved.number("minTF", 1.0), saved.flag("binary", False)
        return cls(source, output, Vocabulary(words), least, binary)

    def transform(self, batch: Batch) -> Batch:
        batch, words = word_lists.read_words(batch, self.input)
        found = self.vocabulary.find_all(words.flat)
        known = found >= 0
        before = np.concatenate(([0], np.cumsum(known)))
        size = len(self.vocabulary)
        counted = sum_by_index(max(size, 1), before[words.offsets], found[known], None)
        counted = Sparse(size, counted.offsets, counted.indices, counted.values)
        return batch.with_columns({self.output: self._frequent_enough(counted, words.lengths)})

    def _frequent_enough(self, counted: Sparse, lengths: Array) -> Sparse:
        least = self.least if self.least >= 1 else self.least * lengths
        rows = row_ids(counted.offsets)
        kept = counted.values >= np.broadcast_to(least, lengths.shape)[rows]
        values = counted.values[kept]
        ends = np.concatenate(([0], np.cumsum(kept)))[counted.offsets]
        values = np.ones_like(values) if self.binary else values
        return Sparse(counted.size, ends, counted.indices[kept], values)


@dataclass(frozen=True)
class IDFModel:
    """Multiplies each element by the inverse document frequency of its word.

    Source: org.apache.spark.ml.feature.IDFModel, 4.3.0.
    """

    input: InputColumn
    output: str
    idf: Array

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> IDFModel:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        idf = saved.table().vector("idf")
        schema.require(saved, source.name, vector_info(len(idf)))
        schema.add_column(output, vector_info(len(idf)))
        return cls(source, output, idf)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.input, len(self.idf))
        if isinstance(column, Dense):
            return batch.with_columns({self.output: Dense(column.values * self.idf)})
        values = column.values * self.idf[column.indices]
        weighted = Sparse(column.size, column.offsets, column.indices, values)
        return batch.with_columns({self.output: weighted})


@dataclass(frozen=True)
class Word2VecModel:
    """The mean of the words' vectors; an unknown word counts as a vector of zeros.

    Source: org.apache.spark.ml.feature.Word2VecModel, 4.3.0.
    """

    input: InputColumn
    output: str
    words: Vocabulary
    vectors: Array
    """float32, (words, size)."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Word2VecModel:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        words, values = _word_vectors(saved, saved.integer("vectorSize", 100))
        schema.require(saved, source.name, TEXTS)
        schema.add_column(output, vector_info(values.shape[1]))
        return cls(source, output, words, values)

    def transform(self, batch: Batch) -> Batch:
        batch, words = word_lists.read_words(batch, self.input)
        found = self.words.find_all(words.flat)
        known = found >= 0
        before = np.concatenate(([0], np.cumsum(known)))
        sums = self._sum_vectors(found[known], before[words.offsets])
        sums *= (1.0 / np.maximum(words.lengths, 1))[:, None]
        return batch.with_columns({self.output: Dense(sums)})

    def _sum_vectors(self, found: Array, offsets: Array) -> Array:
        """The sum of the vectors of the words of each row, in the order of the words."""
        width = self.vectors.shape[1]
        sums = np.empty((len(offsets) - 1, width))
        for start, end in chunks.chunk_bounds(offsets * width):
            ends = offsets[start : end + 1]
            vectors = self.vectors[found[ends[0] : ends[-1]]].astype(np.float64)
            sums[start:end] = row_sums(vectors, ends - ends[0])
        return sums


def _word_vectors(saved: Saved, size: int) -> tuple[Vocabulary, Array]:
    if size < 1:
        raise saved.invalid(f"has vectors of {size}, want 1 or more")
    if saved.has_column("wordIndex"):
        return _map_of_vectors(saved, size)
    words = saved.table(key=("word",), columns=["word"]).texts("word")
    return Vocabulary(words), saved.float_matrix("vector", size, np.arange(len(words)))


def _map_of_vectors(saved: Saved, size: int) -> tuple[Vocabulary, Array]:
    """The words and vectors as they were saved before 2.2: a map, and one list of all numbers."""
    table = saved.table()
    pairs = sorted(table.value("wordIndex") or (), key=lambda pair: pair[1])
    words, flat = [word for word, _ in pairs], table.lists("wordVectors", np.float32)[1]
    if [index for _, index in pairs] != [*range(len(pairs))]:
        raise table.invalid("words are not numbered from 0")
    if len(flat) != len(words) * size:
        raise table.invalid(f"has {len(flat)} numbers for {len(words)} words of {size}")
    return Vocabulary(words), flat.reshape(-1, size)
