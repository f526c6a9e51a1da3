"""The words of a statement, read one by one.

A parser decides by the next word, or by one of the few words after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.tokens import Token, read_tokens

_T = TypeVar("_T")

RESERVED = frozenset(
    (
        *("FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "THEN", "ELSE", "WHEN"),
        *("END", "AND", "OR", "AS", "LATERAL", "WINDOW", "CLUSTER", "DISTRIBUTE", "SORT"),
    )
)
"""Words that are not names of columns where an expression or an alias may stand."""


class TokenReader:
    """The words of a statement, and the place of the next one."""

    def __init__(self, statement: str) -> None:
        """Raises StatementError if the statement cannot be split into words."""
        self.statement = statement
        self._tokens = read_tokens(statement)
        self._at = 0

    @property
    def next_token(self) -> Token:
        """The next word; after the last, one of the kind "end"."""
        return self._tokens[self._at]

    def peek_token(self, ahead: int = 1) -> Token:
        """The word `ahead` places after the next one."""
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def take_token(self) -> Token:
        """The next word, which is passed."""
        token = self.next_token
        # The last word is of the kind "end", which is never passed.
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def accept(self, *words: str) -> bool:
        """Passes these words if they come next; whether they did."""
        if all(self.peek_token(i).upper == word for i, word in enumerate(words)):
            self._at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """Passes these words.

        Raises:
            StatementError: other words come next.
        """
        if not self.accept(*words):
            raise self.syntax_error(f"want {' '.join(words)}")

    def syntax_error(self, want: str) -> StatementError:
        """The error for the next word, with its place in the statement."""
        token = self.next_token
        got = self.statement[token.start : token.end] or "the end"
        return StatementError(f"syntax error at {got!r}, character {token.start + 1}: {want}")

    def parse_identifier(self) -> str:
        """A name, which may be in backquotes.

        Raises:
            StatementError: something else comes next.
        """
        if self.next_token.kind not in ("word", "quoted"):
            raise self.syntax_error("want a name")
        return self.take_token().text

    def parse_list(self, item: Callable[[], _T]) -> list[_T]:
        """One or more items between commas, up to and with a closing bracket."""
        items = [item()]
        while self.accept(","):
            items.append(item())
        self.expect(")")
        return items

    def is_query(self, ahead: int) -> bool:
        """Whether a query starts `ahead` words after the next one."""
        return self.peek_token(ahead).upper in ("SELECT", "WITH", "FROM", "VALUES", "TABLE")
