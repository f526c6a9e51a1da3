"""How functions are bound to arguments whose types are known, and evaluated row by row.

Source: org.apache.spark.sql.catalyst.analysis.{TypeCoercion, AnsiTypeCoercion}.implicitCast, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql import row_limits
from hydro_runtimes.spark.sql.casts import can_cast, cast_value
from hydro_runtimes.spark.sql.coercion import common_type
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BINARY,
    BOOLEAN,
    DATE,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
)
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, evaluate_where, value_of

Bind: TypeAlias = Callable[[Sequence[Typed], Mode], Typed]
_TIMES = (DATE, TIMESTAMP, TIMESTAMP_NTZ)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of SQL."""

    bind: Bind
    """Raises StatementError if the types of the arguments do not fit."""
    least: int
    """The least number of arguments."""
    most: int
    """The most arguments."""
    gives: SqlType = UNKNOWN
    """The type of its answers, if it does not depend on those of the arguments."""


def implicit_cast(typed: Typed, want: SqlType, mode: Mode) -> Typed:
    """An argument in the type that a function takes, to which Spark casts it implicitly.

    Raises:
        StatementError: Spark does not cast it implicitly.
    """
    if typed.type == want:
        return typed
    if not can_cast_implicitly(typed.type, want) and not (
        mode.ansi and typed.type == STRING and want == BOOLEAN
    ):
        raise StatementError(f"an argument is {typed.type}, want {want}")
    return cast_to(typed, want, mode)


def require_type(typed: Typed, want: SqlType, mode: Mode) -> Typed:
    """An argument of exactly the type that a function takes; null is of every type.

    Raises:
        StatementError: it is of another type.
    """
    if typed.type not in (want, VOID, UNKNOWN):
        raise StatementError(f"an argument is {typed.type}, want {want}")
    return cast_to(typed, want, mode)


def can_cast_implicitly(have: SqlType, want: SqlType) -> bool:
    """Whether Spark casts an argument of one type implicitly to another."""
    if have in (want, VOID) or UNKNOWN in (have, want):
        return True
    if want == STRING:
        return not have.is_nested and have.name != "vector"
    if have == STRING:
        return want.is_number or want in (*_TIMES, BINARY)
    if have.is_number and want.is_number:
        return True
    if have.name == want.name and have.is_nested:
        return all(map(can_cast_implicitly, have.parts, want.parts))
    return have in _TIMES and want in _TIMES


def cast_to(typed: Typed, want: SqlType, mode: Mode, safe: bool = False) -> Typed:
    """An expression cast to a type.

    Raises:
        StatementError: Spark has no such cast.
    """
    if typed.type == want:
        return typed
    # try_cast has the casts of ANSI in either mode: others give null for what they cannot be.
    if not can_cast(typed.type, want, replace(mode, ansi=mode.ansi or safe)):
        raise StatementError(f"{typed.type} cannot be cast to {want}")
    inner = typed.evaluate
    return Typed(want, lambda rows: cast_value(inner(rows), want, rows, mode, safe), typed.foldable)


def cast_to_common_type(arguments: Sequence[Typed], mode: Mode) -> list[Typed]:
    """The arguments, cast to the type that they have in common.

    Raises:
        StatementError: they have no type in common.
    """
    kinds = [one.type for one in arguments]
    kind = common_type(kinds, mode.ansi)
    if kind is None:
        raise StatementError(f"{', '.join(map(str, dict.fromkeys(kinds)))} have no common type")
    return [cast_to(one, kind, mode) for one in arguments]


def constant_of(typed: Typed, what: str) -> Any:
    """The value of an argument that must be the same for all rows (foldable); None for null.

    Args:
        typed: the argument.
        what: its name, for the message.

    Raises:
        StatementError: it depends on a column, or its evaluation is an error.
    """
    if not typed.foldable:
        raise StatementError(f"{what} depends on a column, want a constant")
    # One row without columns: what is foldable reads none.
    rows = Rows.from_columns({}, 1)
    value = typed.evaluate(rows)
    if rows.errors:
        raise StatementError(f"{what}: {rows.errors[0]}")
    return value.to_list()[0]


def row_function(
    compute: Callable[..., Any],
    takes: Sequence[SqlType],
    gives: SqlType,
    least: int | None = None,
    exact: bool = False,
) -> Function:
    """A function that is computed row by row; it is null where an argument is null.

    Args:
        compute: from the arguments of a row, as `Value` holds them, to its answer; None is null.
            It raises RowError for a row that has no answer.
        takes: the type of each argument.
        gives: the type of the answer.
        least: the least number of arguments; None means all of them.
        exact: Spark does not cast its arguments implicitly.
    """
    taken = require_type if exact else implicit_cast

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        given = [taken(one, want, mode) for one, want in zip(arguments, takes, strict=False)]
        return row_by_row(compute, given, gives)

    return Function(bind, len(takes) if least is None else least, len(takes), gives)


def row_by_row(compute: Callable[..., Any], given: Sequence[Typed], gives: SqlType) -> Typed:
    """An expression of `compute`'s answers; it is null in rows in which an argument is null.

    Args: as those of `row_function`.
    """

    def evaluate(rows: Rows) -> Value:
        values, missing = evaluate_unless_null(given, rows)
        # Rows with a null are not computed: Spark's code for null-intolerant functions skips them,
        # errors included.
        made: list[Any] = [None] * rows.count
        plain = [value.data.tolist() for value in values]
        for row in np.flatnonzero(~missing).tolist():
            made[row] = try_row(rows, row, compute, *(column[row] for column in plain))
        return value_of(gives, _in_range(made, gives, rows))

    return Typed(gives, evaluate, all(one.foldable for one in given))


def _in_range(made: list[Any], kind: SqlType, rows: Rows) -> list[Any]:
    """The answers; a whole number that does not fit the type becomes None, and an error."""
    if kind.dtype.kind != "i":
        return made
    # Python's integers do not wrap, NumPy's would without a word.
    limit = 1 << (8 * kind.dtype.itemsize - 1)
    for row, value in enumerate(made):
        if value is not None and not -limit <= value < limit:
            rows.errors.setdefault(int(rows.index[row]), f"ARITHMETIC_OVERFLOW in {kind}")
            made[row] = None
    return made


def try_row(rows: Rows, row: int, compute: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of a row; None, and an error of the row, if it raises RowError or is too large."""
    # Functions of functions can make a row larger without end: what a row has made is counted.
    if rows.made_sizes and row_limits.is_over_limit(rows, row):
        return None
    try:
        made = compute(*arguments)
    except RowError as error:
        rows.errors.setdefault(int(rows.index[row]), str(error))
        return None
    if type(made) in _SIZED and row_limits.count_made(rows, row, _added_size(made, arguments)):
        return None
    return made


_SIZED = (str, list, bytes)


def _added_size(made: Any, arguments: Sequence[Any]) -> int:
    """How much larger an answer is than the arguments together."""
    return row_limits.size_of(made) - sum(map(row_limits.size_of, arguments))


def null_on_error(typed: Typed) -> Typed:
    """The expression with null instead of any error, also of expressions within it."""

    def evaluate(rows: Rows) -> Value:
        # Errors of this expression alone: those that the row had before stay.
        apart = rows.with_own_errors()
        value = typed.evaluate(apart)
        failed = np.array([row in apart.errors for row in rows.index.tolist()], dtype=bool)
        return Value(value.type, value.data, value.null | failed)

    return Typed(typed.type, evaluate, typed.foldable)


def evaluate_unless_null(given: Sequence[Typed], rows: Rows) -> tuple[list[Value], Array]:
    """Evaluates arguments one after the other; where one is null, the next are not evaluated.

    Returns:
        Their values, and whether one of them is null: bool, (rows,).
    """
    missing = np.zeros(rows.count, dtype=bool)
    values: list[Value] = []
    for one in given:
        # As Spark's generated code: an argument behind a null one is not evaluated, so its errors
        # do not count.
        value = evaluate_where(one, rows, ~missing)
        values.append(value)
        missing = missing | value.null
    return values, missing


def column_function(
    compute: Callable[..., Array], takes: Sequence[SqlType], gives: SqlType
) -> Function:
    """A function that is computed for all rows at once; it is null where an argument is null.

    Args:
        compute: from arrays, (rows,), to an array of the dtype of `gives`.
        takes: the types of the arguments, which are numbers.
        gives: the type of the answer.
    """

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        given = [implicit_cast(one, want, mode) for one, want in zip(arguments, takes, strict=True)]

        def evaluate(rows: Rows) -> Value:
            values, null = evaluate_unless_null(given, rows)
            return Value(gives, compute(*(value.data for value in values)), null)

        return Typed(gives, evaluate, all(one.foldable for one in given))

    return Function(bind, len(takes), len(takes), gives)
