"""Which column of a row is which input where names may differ in case. Pure.

Each row is looked at by itself: one has "Text" where another has "text", and a third has both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hydro_runtimes import column_forms
from hydro_runtimes.columns import Array, Column, Columns, Dense, Ragged
from hydro_runtimes.evaluator import Signature, match_ignoring_case
from hydro_services.codecs import fitting, json_merging

Named = Sequence[tuple[Array, Signature]]
"""Rows (int64, ascending) that name the inputs alike, and the signature in their names."""


def group_rows(rows: Sequence[Mapping[str, Any]], signature: Signature) -> Named:
    """The rows of each way to name the inputs; most often there is but one."""
    if not signature.ignores_case or all(signature.reads <= row.keys() for row in rows):
        return _one_group(len(rows), signature)
    names_by_keys: dict[tuple[str, ...], tuple[tuple[str, str], ...]] = {}
    places: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for i, row in enumerate(rows):
        keys = tuple(row)
        # Worked out once for each set of keys: there are as many as there are kinds of rows.
        if keys not in names_by_keys:
            names_by_keys[keys] = tuple(
                match_ignoring_case([f.name for f in signature.inputs], row.keys()).items()
            )
        places.setdefault(names_by_keys[keys], []).append(i)
    if len(places) == 1:
        return _one_group(len(rows), signature.rename_inputs(dict(next(iter(places)))))
    return [(np.array(at), signature.rename_inputs(dict(given))) for given, at in places.items()]


def group_columns(columns: Columns, signature: Signature) -> Named:
    """As `group_rows`, of rows in columns."""
    if not signature.ignores_case:
        return _one_group(columns.rows, signature)
    if not columns.present:
        return _one_group(columns.rows, signature.for_names(columns))
    wanted = {name.lower() for name in signature.reads}
    read = [name for name in columns if name.lower() in wanted]
    partial = [name for name in read if name in columns.present]
    if not partial:  # as where no row has the label that a model was fitted with
        return _one_group(columns.rows, signature.for_names(read))
    has = np.zeros((len(partial), columns.rows), np.bool_)
    for mask, name in zip(has, partial, strict=True):
        mask[columns.present[name]] = True
    # Rows that lack the same columns are of one kind. `which` has the kind of each; its shape has
    # changed between versions of NumPy, hence `ravel`.
    kinds, which = np.unique(has, axis=1, return_inverse=True)
    named: list[tuple[Array, Signature]] = []
    for kind, mask in enumerate(kinds.T):
        lacking = {name for name, there in zip(partial, mask, strict=True) if not there}
        names = [name for name in read if name not in lacking]
        named.append((np.flatnonzero(which.ravel() == kind), signature.for_names(names)))
    # Then one group: splitting and merging would only copy.
    same = all(each == named[0][1] for _, each in named)
    return _one_group(columns.rows, named[0][1] if named else signature) if same else named


def _one_group(rows: int, signature: Signature) -> Named:
    return [(np.arange(rows), signature)]


def select_inputs(columns: Columns, signature: Signature) -> Columns:
    """The inputs of a model under its own names, from columns whose values fit its fields.

    Raises:
        InvalidArgument: many values of a column do not fit.
    """
    named = group_columns(columns, signature)
    if len(named) == 1:
        return rename_inputs(columns, named[0][1], signature)
    parts = []
    for rows, own in named:
        part = rename_inputs(columns.take(rows), own, signature)
        fields = {field.name: field for field in signature.inputs}
        fitted = {
            name: fitting.fit_column(column, fields[name])[0] for name, column in part.items()
        }
        parts.append((rows, Columns(fitted, part.rows, part.present)))
    return make_regular(json_merging.merge_columns(parts, columns.rows), signature)


def rename_inputs(columns: Columns, own: Signature, signature: Signature) -> Columns:
    """The inputs among columns, under the names of a signature instead of those of the rows."""
    if own is signature:
        return columns.only(signature.reads)
    given = {
        field.name: theirs.name
        for field, theirs in zip(signature.inputs, own.inputs, strict=True)
        if theirs.name in columns
    }
    inputs: dict[str, Column] = {name: columns[theirs] for name, theirs in given.items()}
    present = {n: columns.present[t] for n, t in given.items() if t in columns.present}
    return Columns(inputs, columns.rows, present)


def make_regular(columns: Columns, signature: Signature) -> Columns:
    """The inputs of a model in the forms that models are given."""
    irregular: dict[str, Column] = {}
    for field in signature.inputs:
        column = columns.get(field.name)
        if isinstance(column, Ragged) or (
            isinstance(column, Dense) and column.validity is not None
        ):
            irregular[field.name] = column_forms.to_model_form(column, field.shape)
    if not irregular:
        return columns
    return Columns({**columns, **irregular}, columns.rows, columns.present)
