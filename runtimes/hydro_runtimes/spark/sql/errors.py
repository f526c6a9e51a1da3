"""What can be wrong with a statement, or with a row that it is evaluated for."""

from __future__ import annotations


class StatementError(ValueError):
    """The statement cannot be evaluated: bad syntax, an unknown name, or what is not supported."""


class NeedsOtherRows(StatementError):
    """The statement needs other rows, a session or chance, so that a row has no answer alone."""


class RowError(Exception):
    """An expression has no value for a row: Spark would fail the query."""
