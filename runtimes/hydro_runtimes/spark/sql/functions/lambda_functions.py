"""Lambda functions, and how they are evaluated for the elements of arrays.

The elements of all rows become one column, for which the lambda function is evaluated at once.

Source: org.apache.spark.sql.catalyst.expressions.higherOrderFunctions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, count, pairwise
from typing import Any, TypeAlias

import numpy as np

from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.arrays import array_argument
from hydro_runtimes.spark.sql.logic import require_condition
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import INT, SqlType
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, value_of

_KEYS = count()


@dataclass(frozen=True, slots=True)
class LambdaFunction:
    """A lambda function, which is compiled when the types of its variables are known."""

    variables: int
    bind: Callable[[Sequence[SqlType], Sequence[str]], Typed]

    def bind_variables(self, *kinds: SqlType) -> tuple[Typed, tuple[str, ...]]:
        """The body for variables of these types, and the keys under which `Rows` hold them.

        Raises:
            StatementError: it has more variables than there are types.
        """
        if self.variables > len(kinds):
            raise StatementError(f"a function takes {self.variables} variables, want {len(kinds)}")
        keys = tuple(f"variable {next(_KEYS)}" for _ in kinds)
        return self.bind(kinds, keys), keys


HigherOrderArguments: TypeAlias = Sequence[Typed | LambdaFunction]
BindHigherOrder: TypeAlias = Callable[[HigherOrderArguments, Mode], Typed]


def _array_and_body(given: HigherOrderArguments) -> tuple[Typed, LambdaFunction]:
    child, body = given[0], given[1]
    if not isinstance(child, Typed) or not isinstance(body, LambdaFunction):
        raise StatementError("wants an array and then a function x -> ...")
    return array_argument(child), body


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of the arrays of all rows as one column."""

    lists: list[list[Any] | None]
    rows: Rows
    """A row for each element."""
    cuts: list[int]
    """Where the elements of each row start, and the end: rows + 1 numbers."""

    @classmethod
    def from_lists(cls, lists: list[Any], rows: Rows) -> Elements:
        lengths = [0 if one is None else len(one) for one in lists]
        repeated = np.repeat(np.arange(rows.count), lengths)
        return cls(lists, rows.take(repeated), list(accumulate(lengths, initial=0)))

    @property
    def all_elements(self) -> list[Any]:
        return list(chain.from_iterable(one for one in self.lists if one is not None))

    def places(self) -> list[int]:
        """The index of each element in its array, from 0."""
        return [i for one in self.lists if one is not None for i in range(len(one))]

    def cut_by_row(self, values: Sequence[Any]) -> list[Any]:
        """Cuts values, one for each element, into a list for each row; None for a null row."""
        parts = pairwise(self.cuts)
        return [
            None if one is None else list(values[a:b])
            for one, (a, b) in zip(self.lists, parts, strict=True)
        ]


def evaluate_body(
    body: Typed, keys: Sequence[str], elements: Elements, columns: Sequence[Value]
) -> list[Any]:
    variables = dict(zip(keys, columns, strict=False))
    return body.evaluate(elements.rows.with_columns(variables)).to_list()


def per_element(
    given: HigherOrderArguments, mode: Mode, is_test: bool
) -> tuple[Typed, Typed, Callable[[Rows], tuple[Elements, list[Any]]]]:
    """The array, the body, and a function that evaluates the body for each element of all rows."""
    child, function = _array_and_body(given)
    element = child.type.parts[0]
    body, keys = function.bind_variables(element, INT)
    if is_test:
        body = require_condition(body, mode)

    def evaluate_elements(rows: Rows) -> tuple[Elements, list[Any]]:
        elements = Elements.from_lists(child.evaluate(rows).to_list(), rows)
        columns = [value_of(element, elements.all_elements), value_of(INT, elements.places())]
        return elements, evaluate_body(body, keys, elements, columns)

    return child, body, evaluate_elements


def select_where_true(child: Typed, answers: Callable[[Rows], tuple[Elements, list[Any]]]) -> Typed:
    """The elements or pairs for which the answer is true."""

    def evaluate(rows: Rows) -> Value:
        elements, kept = answers(rows)
        made = [
            None if values is None else [x for x, keep in zip(values, tests, strict=True) if keep]
            for values, tests in zip(elements.lists, elements.cut_by_row(kept), strict=True)
        ]
        return value_of(child.type, made)

    return Typed(child.type, evaluate)
