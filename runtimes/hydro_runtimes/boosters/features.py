"""The feature matrix of a booster, made of columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array, Column, Columns, DataType, Dense, Sparse, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Failure, Field

VECTOR = "features"
"""The name of the one input of a booster that was fitted without names: a vector of all features.
"""


@dataclass(frozen=True, slots=True)
class Features:
    """What a booster reads, in the order of its features."""

    fields: tuple[Field, ...]
    """A feature each; or a vector of some."""
    categories: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Of the features whose values are given to the booster as their place among these; None for
    one whose name is not known."""
    takes_unknown: bool = True
    """A value that is none of the categories is missing; otherwise its row fails."""

    codes: Mapping[str, Mapping[Any, int]] = field(init=False, repr=False, compare=False)
    """The places of the categories."""

    def __post_init__(self) -> None:
        codes = {
            name: {value: code for code, value in enumerate(values)}
            for name, values in self.categories.items()
        }
        object.__setattr__(self, "codes", codes)

    @property
    def size(self) -> int:
        """The number of features."""
        return sum(each.shape[0] if each.shape else 1 for each in self.fields)

    def make_matrix(self, columns: Columns, dtype: type[np.floating[Any]]) -> Array:
        """The features of all rows, (rows, size); what is missing is NaN."""
        matrix = np.empty((columns.rows, self.size), dtype)
        at = 0
        for each in self.fields:
            column = columns[each.name]
            if each.shape:
                _fill_vectors(matrix[:, at : at + each.shape[0]], column)
                at += each.shape[0]
            else:
                matrix[:, at] = self._numbers(each, column)
                if column.validity is not None:
                    matrix[~column.validity, at] = np.nan
                at += 1
        return matrix

    def find_unknown(self, columns: Columns) -> dict[int, Failure]:
        """The failures of rows with a value that is none of its column's categories."""
        if self.takes_unknown:
            return {}
        failures: dict[int, Failure] = {}
        for name, categories in self.categories.items():
            known, column = self.codes[name], columns[name]
            for row, value in enumerate(_listed(column)):
                is_null = column.validity is not None and not column.validity[row]
                if value not in known and not is_null:
                    wanted = ", ".join(map(str, categories[:20]))
                    message = f"column '{name}' is {value!r}, want one of {wanted}"[:1000]
                    failures.setdefault(row, Failure("INVALID_VALUE", message, name))
        return failures

    def _numbers(self, each: Field, column: Column) -> Any:
        codes = self.codes.get(each.name)
        if codes is None:
            assert isinstance(column, Dense)
            return column.values
        return [codes.get(value, np.nan) for value in _listed(column)]


def unnamed_features(size: int) -> Features:
    """Those of a booster that was fitted on an array."""
    return Features((Field(VECTOR, DataType.FLOAT64, (size,), nullable=True),))


def category_type(categories: Sequence[Any]) -> DataType:
    """The type of a column with these values."""
    kinds = {type(value) for value in categories}
    if kinds <= {bool} and kinds:
        return DataType.BOOL
    if kinds <= {int} and kinds:
        return DataType.INT64
    return DataType.FLOAT64 if kinds and kinds <= {int, float} else DataType.STRING


def with_stated_inputs(where: object, features: Features, stated: Sequence[Field]) -> Features:
    """The features as metadata.json states the columns: those of a vector may be columns.

    Raises:
        InvalidModel: it states another number of features, others by name, or other categories.
    """
    own = {each.name: each for each in features.fields}
    given = {each.name: each for each in stated}
    if own.keys() == {VECTOR} and own[VECTOR].shape:
        found = replace(features, fields=tuple(replace(each, nullable=True) for each in stated))
    elif given.keys() != own.keys():
        got, want = ", ".join(given), ", ".join(own)
        raise InvalidModel(where, f"metadata.json has the inputs {got}; the model's are {want}")
    else:
        fields = tuple(_with_type(where, each, given[each.name]) for each in features.fields)
        categories = {
            name: _stated_categories(where, given[name], known)
            for name, known in features.categories.items()
        }
        found = replace(features, fields=fields, categories=categories)
    if any(-1 in each.shape or len(each.shape) > 1 for each in found.fields) or (
        found.size != features.size
    ):
        raise InvalidModel(
            where, f"metadata.json has {found.size} features, the model has {features.size}"
        )
    return found


def check_categories(where: object, features: Features) -> None:
    """Raises InvalidModel where the names of categories are not known."""
    lacking = [name for name, known in features.categories.items() if None in known]
    if lacking:
        raise InvalidModel(
            where,
            f"its library did not save the categories of '{lacking[0]}' whole, which are not "
            f'ASCII: state them in metadata.json, in the order of fitting, as "nominal" of the '
            "column, or save the model with a newer version of the library",
        )


def _stated_categories(where: object, stated: Field, known: tuple[Any, ...]) -> tuple[Any, ...]:
    if not stated.nominal:
        return known
    if len(stated.nominal) != len(known):
        got, want = len(stated.nominal), len(known)
        raise InvalidModel(
            where, f"metadata.json has {got} categories of '{stated.name}', the model has {want}"
        )
    return stated.nominal


def _with_type(where: object, own: Field, stated: Field) -> Field:
    """The field with another type of numbers, or with whole numbers for texts."""
    is_text, takes = stated.type.dtype.hasobject, own.type.dtype.hasobject
    fits = is_text == takes or (takes and stated.type.dtype.kind in "ib")
    if not fits or stated.shape != own.shape:
        got, want = stated.type.value, own.type.value
        raise InvalidModel(where, f"metadata.json has '{own.name}' of type {got}, want {want}")
    return replace(own, type=stated.type)


def _listed(column: Column) -> Sequence[Any]:
    """The values as Python's own, which hash alike whatever their type."""
    if isinstance(column, Strings):
        return column.values
    assert isinstance(column, Dense)
    values: list[Any] = column.values.tolist()
    return values


def _fill_vectors(target: Array, column: Column) -> None:
    if isinstance(column, Sparse):
        column = column.dense()
    assert isinstance(column, Dense)
    target[:] = column.values
    if column.validity is not None:
        target[~column.validity] = np.nan
