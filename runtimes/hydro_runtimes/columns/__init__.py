"""Named columns of equal length: what evaluators read and write.

A column has one of four forms: `Dense`, `Strings`, `Ragged` or `Sparse`. Each knows how many rows
it has and can take some of them. Lists of lists are `Ragged` columns of `Ragged` ones. Nothing here
knows JSON, protobuf or any model. Values are immutable: treat every array as read-only.
"""

from hydro_runtimes.columns.arrays import Dense, Lists, Ragged
from hydro_runtimes.columns.batch import Column, Columns
from hydro_runtimes.columns.sparse import (
    MAX_DENSE_BYTES,
    MAX_DENSE_SIZE,
    DenseTooLarge,
    Sparse,
)
from hydro_runtimes.columns.strings import Strings, pack_texts, unpack_texts
from hydro_runtimes.columns.types import Array, DataType, Rows, Validity

__all__ = [
    "MAX_DENSE_BYTES",
    "MAX_DENSE_SIZE",
    "Array",
    "Column",
    "Columns",
    "DataType",
    "Dense",
    "DenseTooLarge",
    "Lists",
    "Ragged",
    "Rows",
    "Sparse",
    "Strings",
    "Validity",
    "pack_texts",
    "unpack_texts",
]
