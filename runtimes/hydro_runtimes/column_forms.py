"""Columns of several batches as one and of one as several, and lists as tensors. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hydro_runtimes.columns import (
    Array,
    Column,
    Columns,
    Dense,
    Lists,
    Ragged,
    Sparse,
    Strings,
    Validity,
)


def concat_columns(parts: Sequence[Column]) -> Column:
    """The rows of several columns of one type, in order.

    Lists and tensors of differing shapes become `Ragged`; dense vectors beside sparse ones become
    `Sparse` and store all their elements.

    Raises:
        ValueError: the columns do not fit together.
    """
    # An empty part has no form of its own: it must not turn the others into lists.
    parts = [part for part in parts if part.rows] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    if len({part.type for part in parts}) > 1:
        raise ValueError(f"columns differ in type: {sorted({p.type.value for p in parts})}")
    if any(isinstance(part, Sparse) for part in parts):
        return _concat_sparse([_to_sparse(part) for part in parts])
    if len({len(part.shape) for part in parts}) > 1:
        raise ValueError(f"columns differ in shape: {sorted({part.shape for part in parts})}")
    if isinstance(parts[0], Strings):
        texts = [text for part in parts if isinstance(part, Strings) for text in part.values]
        return Strings(texts, _concat_validities(parts), parts[0].type)
    dense = [part.values for part in parts if isinstance(part, Dense)]
    if len(dense) == len(parts) and len({part.shape for part in parts}) == 1:
        return Dense(np.concatenate(dense), _concat_validities(parts))
    lists = [to_ragged(part) for part in parts]
    elements = concat_columns([part.elements for part in lists])
    assert not isinstance(elements, Sparse), "no list has sparse vectors"
    return Ragged(_concat_offsets(lists), elements, _concat_validities(parts))


def to_ragged(column: Column) -> Ragged:
    """Tensors as lists.

    Raises:
        ValueError: the rows are neither tensors nor lists.
    """
    if isinstance(column, Ragged):
        return column
    if not isinstance(column, Dense) or not column.shape:
        raise ValueError(f"got {type(column).__name__} of shape {column.shape}, want lists")
    rows, length, *inner = column.values.shape
    elements = Dense(column.values.reshape(rows * length, *inner))
    return Ragged(np.arange(rows + 1) * length, elements, column.validity)


def make_lists(lengths: Sequence[int], elements: Lists, validity: Validity) -> Dense | Ragged:
    """A column of lists of these lengths; a tensor where all are alike and none is null."""
    is_whole = validity is None and elements.validity is None
    if is_whole and isinstance(elements, Dense) and len(set(lengths)) == 1:
        values = elements.values
        return Dense(values.reshape(len(lengths), lengths[0], *values.shape[1:]))
    offsets = np.fromiter(itertools.accumulate(lengths, initial=0), np.int64, len(lengths) + 1)
    return Ragged(offsets, elements, validity)


def to_model_form(column: Lists, shape: tuple[int, ...]) -> Lists:
    """Values of a declared shape in the form that models are given.

    A tensor, where lists of numbers are alike and none is null, with zeros for null rows where the
    declared sizes are all fixed; lists otherwise.
    """
    if isinstance(column, Dense) and column.validity is not None and -1 in shape:
        return _drop_null_lists(to_ragged(column), column.validity)
    if not isinstance(column, Ragged) or not shape:
        return column
    if not column.rows and column.type.dtype.kind != "O":
        return Dense(np.zeros((0, *(max(size, 0) for size in shape)), column.type.dtype))
    validity = column.validity
    if validity is not None:
        column = _drop_null_lists(column, validity)
    elements = to_model_form(column.elements, shape[1:])
    if validity is None:
        return make_lists(column.lengths.tolist(), elements, None)
    if -1 in shape or not isinstance(elements, Dense) or elements.validity is not None:
        return Ragged(column.offsets, elements, validity)
    values = np.zeros((column.rows, *shape), elements.values.dtype)
    # Zeros stay in null rows, so that a model that looks at them finds nothing of other rows.
    values[validity] = elements.values.reshape(int(validity.sum()), *shape)
    return Dense(values, validity)


def _drop_null_lists(column: Ragged, validity: Array) -> Ragged:
    """The lists without the elements that null rows have: nothing is to depend on these."""
    valid = np.repeat(validity, column.lengths)
    if valid.all():
        return column
    ends = np.concatenate(([0], np.cumsum(column.lengths * validity)))
    return Ragged(ends, column.elements.take(valid), validity)


def _to_sparse(column: Column) -> Sparse:
    """Vectors as sparse ones that store every element."""
    if isinstance(column, Sparse):
        return column
    lists = to_ragged(column)
    values = lists.elements
    if len(column.shape) != 1 or not isinstance(values, Dense):
        raise ValueError(f"got {type(column).__name__} of shape {column.shape}, want vectors")
    lengths = lists.lengths
    indices = np.arange(len(values.values)) - np.repeat(lists.offsets[:-1], lengths)
    size = int(lengths.max(initial=0))
    sizes = None if (lengths == size).all() else lengths
    stored = indices.astype(np.int32), values.values.astype(np.float64)
    return Sparse(size, lists.offsets, *stored, lists.validity, sizes, values.validity)


def _concat_sparse(parts: Sequence[Sparse]) -> Sparse:
    sizes = np.concatenate(
        [np.full(part.rows, part.size) if part.sizes is None else part.sizes for part in parts]
    )
    return make_sparse(
        sizes,
        _concat_offsets(parts),
        np.concatenate([part.indices for part in parts]),
        Dense(np.concatenate([part.values for part in parts]), _element_validities(parts)),
        _concat_validities(parts),
    )


def make_sparse(
    sizes: Array, offsets: Array, indices: Array, stored: Dense, validity: Validity
) -> Sparse:
    """Sparse vectors of these sizes (int64, (rows,)); the size of a null row is ignored."""
    counted = sizes if validity is None else sizes[validity]
    size = int(counted.max(initial=0))
    differing = None if (counted == size).all() else sizes
    if differing is not None and validity is not None:
        differing = np.where(validity, sizes, 0)
    values, elements = stored.values, stored.validity
    return Sparse(size, offsets, indices, values, validity, differing, elements)


def _element_validities(parts: Sequence[Sparse]) -> Validity:
    if all(part.element_validity is None for part in parts):
        return None
    return np.concatenate(
        [
            np.ones(len(part.values), np.bool_)
            if part.element_validity is None
            else part.element_validity
            for part in parts
        ]
    )


def _concat_offsets(parts: Sequence[Ragged] | Sequence[Sparse]) -> npt.NDArray[np.int64]:
    lengths = [np.diff(part.offsets) for part in parts]
    return np.concatenate(([0], np.cumsum(np.concatenate(lengths)))).astype(np.int64)


def _concat_validities(parts: Sequence[Column]) -> Validity:
    if all(part.validity is None for part in parts):
        return None
    full = [np.ones(p.rows, np.bool_) if p.validity is None else p.validity for p in parts]
    return np.concatenate(full)


def have_one_form(columns: Columns) -> bool:
    """Whether all rows have the same columns, and in each vectors of one form, as models need."""
    return not columns.present and not any(
        isinstance(column, Sparse) and _row_kinds(column).any() for column in columns.values()
    )


def split_by_form(columns: Columns) -> list[tuple[Array, Columns]]:
    """Groups of rows with the same columns, and in each all vectors dense, or sparse of one size.

    Returns:
        For each group the indices of its rows (int64), and these rows; dense vectors among sparse
        ones are `Dense` in it.
    """
    kinds = np.zeros(columns.rows, np.int64)
    for name, column in columns.items():
        if name in columns.present or isinstance(column, Sparse):
            own = np.zeros(columns.rows, np.int64)
            places = columns.present.get(name, slice(None))
            own[places] = 1 + (_row_kinds(column) if isinstance(column, Sparse) else 0)
            # Numbered anew after each column: products of many columns' kinds would overflow.
            kinds = np.unique(kinds * (own.max(initial=0) + 1) + own, return_inverse=True)[1]
    groups = np.split(np.argsort(kinds, kind="stable"), np.cumsum(np.bincount(kinds))[:-1])
    return [(rows, _densify(columns.take(rows))) for rows in groups]


def _row_kinds(column: Sparse) -> Array:
    """The form of each row (int64, (rows,)): 0 for all if they are sparse vectors of one size.

    Otherwise 1 for rows that are dense or null, and another number for each size of sparse ones.
    """
    sizes = np.full(column.rows, column.size) if column.sizes is None else column.sizes
    dense = np.diff(column.offsets) == sizes
    if column.validity is not None:
        dense |= ~column.validity
    if column.sizes is None and not dense.any():
        return np.zeros(column.rows, np.int64)
    return np.where(dense, 1, sizes + 2)


def _densify(columns: Columns) -> Columns:
    """Rows of one form; those that are dense as `Dense`."""
    dense = {
        name: to_model_form(
            Ragged(column.offsets, Dense(column.values, column.element_validity), column.validity),
            (-1,),
        )
        for name, column in columns.items()
        if isinstance(column, Sparse) and _row_kinds(column).max(initial=0) == 1
    }
    return columns.plus(dense) if dense else columns
