"""Feature hashing: the index of a feature is the hash of its name, modulo the size.

Source: org.apache.spark.ml.feature.{HashingTF, FeatureHasher}, 4.3.0;
org.apache.spark.unsafe.hash.Murmur3_x86_32 with the seed 42: hashUnsafeBytes2 since 3.0, and
hashUnsafeBytes before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mmh3
import numpy as np

from hydro_runtimes.columns import Array, Column, Dense, Sparse
from hydro_runtimes.spark.data import word_lists
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import TEXTS, UNKNOWN, vector_info
from hydro_runtimes.spark.data.column_texts import cast_to_texts
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import row_ids
from hydro_runtimes.spark.format.saved import Saved

SEED = 42
_MAX_FEATURES = 2**31 - 1


@dataclass(frozen=True)
class HashingTF:
    """Counts the words of a row by their hashes.

    The hash function depends on the version of Spark that saved the stage, as in Spark.

    Source: org.apache.spark.ml.feature.HashingTF, 4.3.0.
    """

    input: InputColumn
    output: str
    size: int
    binary: bool
    hash: Callable[[str], int]

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> HashingTF:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        size = _num_features(saved)
        if saved.version and saved.version[0] < 2:
            reason = "Spark 1 hashed words otherwise, so what was trained on them is of no use"
            raise saved.invalid(f"{reason}: fit it again with a later Spark")
        schema.require(saved, source.name, TEXTS)
        schema.add_column(output, vector_info(size))
        hash_of = murmur3 if not saved.version or saved.version[0] >= 3 else murmur3_of_2
        return cls(source, output, size, saved.flag("binary", False), hash_of)

    def transform(self, batch: Batch) -> Batch:
        batch, words = word_lists.read_words(batch, self.input)
        known = {
            # Spark hashes null to the seed. Python's % is never negative, as Utils.nonNegativeMod.
            word: (SEED if word is None else self.hash(word)) % self.size
            # Each word once: texts repeat, and a hash in Python costs more than finding it.
            for word in dict.fromkeys(words.flat)
        }
        indices = np.array([known[word] for word in words.flat], dtype=np.int64)
        counted = sum_by_index(self.size, words.offsets, indices, None)
        if self.binary:
            ones = np.ones_like(counted.values)
            counted = Sparse(self.size, counted.offsets, counted.indices, ones)
        return batch.with_columns({self.output: counted})


@dataclass(frozen=True)
class FeatureHasher:
    """Numbers at the hash of their column's name, categories as 1 at the hash of `column=value`.

    Source: org.apache.spark.ml.feature.FeatureHasher, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    output: str
    size: int
    categorical: frozenset[str]

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> FeatureHasher:
        inputs, output, size = (
            saved.texts("inputCols"),
            saved.text("outputCol"),
            _num_features(saved),
        )
        for name in inputs:
            schema.require(saved, name, UNKNOWN)
        schema.add_column(output, vector_info(size))
        sources = tuple(InputColumn(saved.uid, name) for name in inputs)
        return cls(sources, output, size, frozenset(saved.texts("categoricalCols", ())))

    def transform(self, batch: Batch) -> Batch:
        rows, indices, values = [], [], []
        for source in self.inputs:
            index, value = self._hash_column(source, batch.columns[source.name])
            # Null adds nothing, in whatever column.
            there = np.flatnonzero(index >= 0)
            rows.append(there)
            indices.append(index[there])
            values.append(value[there])
        row = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        # Stable: within a row the columns stay in their order, in which sums are rounded.
        order = np.argsort(row, kind="stable")
        offsets = np.searchsorted(row[order], np.arange(batch.rows + 1))
        index, value = np.concatenate(indices)[order], np.concatenate(values)[order]
        return batch.with_columns({self.output: sum_by_index(self.size, offsets, index, value)})

    def _hash_column(self, source: InputColumn, column: Column) -> tuple[Array, Array]:
        """The index (int64, -1 for null) and the value (float64) of each row's feature."""
        name = source.name
        if column.shape:
            raise source.wrong_column(column, "a text, a number or a boolean")
        number = isinstance(column, Dense) and column.values.dtype != np.bool_
        if number and isinstance(column, Dense) and name not in self.categorical:
            index = np.full(column.rows, murmur3(name) % self.size, dtype=np.int64)
            if column.validity is not None:
                index[~column.validity] = -1
            return index, column.values.astype(np.float64)
        texts = cast_to_texts(source, column)
        known = {text: murmur3(f"{name}={text}") % self.size for text in dict.fromkeys(texts)}
        found = [-1 if text is None else known[text] for text in texts]
        return np.array(found, dtype=np.int64), np.ones(column.rows)


def sum_by_index(size: int, offsets: Array, indices: Array, values: Array | None) -> Sparse:
    """Sparse vectors of the sums by index.

    Args:
        size: of the vectors.
        offsets: where the indices of each row start, and the end: int64, (rows + 1,).
        indices: in any order: int64, (n,).
        values: for each index, (n,); None counts each as 1.
    """
    # Rows and indices become one key, row * size + index, so that one sort orders both.
    one_row = len(offsets) == 2
    keys = indices if one_row else row_ids(offsets) * size + indices
    if values is None:
        keys = np.sort(keys)
    else:
        # Stable, so that equal keys are added in the order of the columns, as Spark does.
        order = keys.argsort(kind="stable")
        keys, values = keys[order], values[order]
    # Where a key differs from the one before it, a sum starts.
    new = np.ones(len(keys) + 1, dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:-1])
    starts = new.nonzero()[0]
    if values is None or not len(values):
        sums = (starts[1:] - starts[:-1]).astype(np.float64)
    else:
        sums = np.add.reduceat(values, starts[:-1])
    index = keys[starts[:-1]]
    if one_row:
        return Sparse(size, np.array([0, len(index)]), index.astype(np.int32), sums)
    row, index = np.divmod(index, size)
    ends = np.searchsorted(row, np.arange(len(offsets)))
    return Sparse(size, ends.astype(np.int64), index.astype(np.int32), sums)


def murmur3(text: str) -> int:
    """The hash of a text's UTF-8 by MurmurHash3_x86_32: a signed int."""
    return mmh3.hash(text, SEED)


def murmur3_of_2(text: str) -> int:
    """The hash of Spark 2, which differs from MurmurHash3 in the last one to three bytes.

    Each of them is mixed like a whole word, extended by its sign (hashUnsafeBytes).
    """
    data = text.encode()
    aligned = len(data) - len(data) % 4
    words: Sequence[int] = [
        int.from_bytes(data[i : i + 4], "little") for i in range(0, aligned, 4)
    ] + [byte - 256 if byte > 127 else byte for byte in data[aligned:]]
    hashed = SEED
    # The constants are those of MurmurHash3_x86_32. Java's ints wrap: & keeps the lower 32 bits.
    for word in words:
        mixed = (word * 0xCC9E2D51) & 0xFFFFFFFF
        mixed = ((mixed << 15) | (mixed >> 17)) & 0xFFFFFFFF
        hashed ^= (mixed * 0x1B873593) & 0xFFFFFFFF
        hashed = ((hashed << 13) | (hashed >> 19)) & 0xFFFFFFFF
        hashed = (hashed * 5 + 0xE6546B64) & 0xFFFFFFFF
    hashed ^= len(data)
    # fmix32: every bit of the input changes every bit of the hash.
    hashed = ((hashed ^ (hashed >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    hashed = ((hashed ^ (hashed >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    hashed ^= hashed >> 16
    return hashed - 2**32 if hashed >= 2**31 else hashed


def _num_features(saved: Saved) -> int:
    size = saved.integer("numFeatures", 1 << 18)
    if not 0 < size <= _MAX_FEATURES:
        raise saved.invalid(f"param 'numFeatures' is {size}, want 1 to {_MAX_FEATURES}")
    return size
