"""What can be wrong with a statement, or with a row that it is evaluated for."""

from __future__ import annotations


class StatementError(ValueError):
    """The statement cannot be evaluated: bad syntax, an unknown name, or what is not supported."""


class NeedsOtherRows(StatementError):
    """The statement needs other rows, a session or chance, so that a row has no answer alone."""


class RowError(Exception):
    """An expression has no value for a row: Spark would fail the query."""


def unknown_function(written: str, hint: str = "") -> StatementError:
    """The error for a function that is none of those known here, as the statement has it."""
    own = "what a function of your own (a UDF) does is not saved: put it into a model.py"
    return StatementError(
        f"the function '{written}' is not supported{hint}; {own} between two pipelines"
    )
