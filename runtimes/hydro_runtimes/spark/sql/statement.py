"""Statements: SELECT ... FROM __THIS__ WHERE ..., with subqueries and common table expressions.

Source: SqlBaseParser.g4 of Spark 4.3.0, queryPrimary and ctes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hydro_runtimes.spark.sql.errors import NeedsOtherRows, StatementError
from hydro_runtimes.spark.sql.parser import Parser
from hydro_runtimes.spark.sql.syntax import Expression, Select, Star

THIS = "__THIS__"
"""The name that a statement has for the batch."""
_VARIABLE = re.compile(r"\$\{(?:(\w+?):)?(\S+?)\}")
_MAX_CHARACTERS = 100_000
Table: TypeAlias = tuple[Select, tuple[str, ...]]
"""A query, and the names that its columns have outside; an empty tuple if they are its own."""
Tables: TypeAlias = Mapping[str, Table]
"""Common table expressions, by name in lower case."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What a SELECT reads: the batch, or another query."""

    select: Select | None
    """None means the batch."""
    alias: str | None
    names: tuple[str, ...]


_OTHER_ROWS = {
    "AGGREGATE": "AGGREGATE groups rows",
    "CLUSTER": "CLUSTER BY orders rows",
    "CROSS": "JOIN reads another table",
    "DISTRIBUTE": "DISTRIBUTE BY moves rows",
    "EXCEPT": "EXCEPT compares rows with other rows",
    "FULL": "JOIN reads another table",
    "GROUP": "GROUP BY groups rows",
    "HAVING": "HAVING needs groups of rows",
    "INNER": "JOIN reads another table",
    "INTERSECT": "INTERSECT compares rows with other rows",
    "JOIN": "JOIN reads another table",
    "LATERAL": "LATERAL VIEW makes several rows of one",
    "LEFT": "JOIN reads another table",
    "LIMIT": "LIMIT counts rows",
    "NATURAL": "JOIN reads another table",
    "OFFSET": "OFFSET counts rows",
    "ORDER": "ORDER BY orders rows",
    "PIVOT": "PIVOT groups rows",
    "RIGHT": "JOIN reads another table",
    "SORT": "SORT BY orders rows",
    "TABLESAMPLE": "TABLESAMPLE draws rows by chance",
    "UNION": "UNION gives more rows than came in",
    "UNPIVOT": "UNPIVOT makes several rows of one",
    "WINDOW": "WINDOW needs other rows",
}
_AFTER_SOURCE = ("WHERE", "SELECT", *_OTHER_ROWS)


def parse_statement(statement: str) -> Select:
    """Parses a statement over __THIS__.

    Raises:
        StatementError: the grammar has no such statement, or it reads another table.
        NeedsOtherRows: its answer for a row depends on other rows.
    """
    # The parser recurses, and a statement comes with a model that somebody else may have made.
    if len(statement) > _MAX_CHARACTERS:
        got = f"has {len(statement)} characters"
        raise StatementError(f"{got}, want at most {_MAX_CHARACTERS}")
    parser = Parser(_substitute_variables(statement))
    select = _parse_query(parser, {})[0]
    parser.accept(";")
    if parser.next_token.kind != "end":
        raise _refusal_of(parser)
    return select


def _substitute_variables(statement: str) -> str:
    """The statement without its variables, which are empty where no session sets them.

    Source: org.apache.spark.sql.internal.VariableSubstitution, 4.3.0.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] or match[2].startswith("spark."):
            raise NeedsOtherRows(f"{match[0][:60]} is a setting of the session")
        return ""

    return _VARIABLE.sub(value, statement)


def _parse_query(parser: Parser, known: Tables) -> Table:
    if parser.accept("WITH"):
        known = _parse_ctes(parser, known)
    return _parse_pipe_operators(parser, known, _Source(*_parse_primary(parser, known)))


def _parse_primary(
    parser: Parser, known: Tables
) -> tuple[Select | None, str | None, tuple[str, ...]]:
    """What precedes the first |>: a query, FROM table, or TABLE table."""
    if parser.accept("("):
        select, names = _parse_query(parser, known)
        parser.expect(")")
        return select, None, names
    if parser.accept("SELECT"):
        items = _parse_items(parser)
        if not parser.accept("FROM"):
            raise StatementError(f"reads no table, want FROM {THIS}")
        return _parse_rest_of_select(parser, items, _parse_source(parser, known)), None, ()
    if not (parser.accept("FROM") or parser.accept("TABLE")):
        raise parser.syntax_error("want SELECT")
    source = _parse_source(parser, known)
    if parser.accept("SELECT"):
        return _parse_rest_of_select(parser, _parse_items(parser), source), None, ()
    return source.select, source.alias, source.names


def _parse_pipe_operators(parser: Parser, known: Tables, source: _Source) -> Table:
    """The query with its |> operators, each of which reads the answer of the one before it."""
    is_query = source.alias is None and source.select is not None
    while parser.accept("|>"):
        is_query = False
        if parser.accept("AS"):
            source = _Source(source.select, parser.parse_identifier(), source.names)
        elif parser.accept("SELECT"):
            source = _Source(_select_over(source, _parse_items(parser)), None, ())
        elif parser.accept("EXTEND"):
            source = _Source(_select_over(source, (Star(), *_parse_items(parser))), None, ())
        elif parser.accept("DROP"):
            names = [(parser.parse_identifier(),)]
            while parser.accept(","):
                names.append((parser.parse_identifier(),))
            source = _Source(_select_over(source, (Star((), tuple(names)),)), None, ())
        elif parser.accept("SET"):
            source = _parse_set(parser, source)
        elif parser.accept("WHERE"):
            select = Select(
                (Star(),), source.select, source.alias, parser.parse_expression(), source.names
            )
            source = _Source(select, source.alias, ())
        else:
            raise _refusal_of(parser)
    # Without |> and without an alias it is the query itself; a SELECT * around it would name its
    # columns anew.
    if is_query and source.select is not None:
        return source.select, source.names
    return _select_over(source, (Star(),)), ()


def _parse_set(parser: Parser, source: _Source) -> _Source:
    while True:
        name = parser.parse_identifier()
        parser.expect("=")
        star = Star(replaced=((name, parser.parse_expression()),))
        source = _Source(_select_over(source, (star,)), source.alias, ())
        if not parser.accept(","):
            return source


def _select_over(source: _Source, items: tuple[Expression, ...]) -> Select:
    return Select(items, source.select, source.alias, None, source.names)


def _parse_ctes(parser: Parser, known: Tables) -> Tables:
    if parser.accept("RECURSIVE"):
        raise NeedsOtherRows("WITH RECURSIVE makes several rows of one")
    while True:
        name = parser.parse_identifier()
        names = _parse_column_names(parser)
        parser.accept("AS")
        parser.expect("(")
        select, inner_names = _parse_query(parser, known)
        # A new mapping each: a query sees those before it, not those after it and not itself.
        known = {**known, name.lower(): (select, names or inner_names)}
        parser.expect(")")
        if not parser.accept(","):
            return known


def _parse_column_names(parser: Parser) -> tuple[str, ...]:
    """The names of columns in brackets; an empty tuple if no bracket comes next."""
    if not parser.accept("("):
        return ()
    names = [parser.parse_identifier()]
    while parser.accept(","):
        names.append(parser.parse_identifier())
    parser.expect(")")
    return tuple(names)


def _parse_items(parser: Parser) -> tuple[Expression, ...]:
    if parser.accept("DISTINCT"):
        raise NeedsOtherRows("SELECT DISTINCT compares rows with other rows")
    parser.accept("ALL")
    items: list[Expression] = [parser.parse_named_expression()]
    while parser.accept(","):
        items.append(parser.parse_named_expression())
    return tuple(items)


def _parse_rest_of_select(parser: Parser, items: tuple[Expression, ...], source: _Source) -> Select:
    if parser.next_token.upper == ",":
        raise NeedsOtherRows("a second table after FROM is a join")
    where = parser.parse_expression() if parser.accept("WHERE") else None
    if parser.next_token.upper in _OTHER_ROWS:
        raise _refusal_of(parser)
    return Select(items, source.select, source.alias, where, source.names)


def _parse_source(parser: Parser, known: Tables) -> _Source:
    source: Select | None = None
    names: tuple[str, ...] = ()
    if parser.accept("("):
        source, names = _parse_query(parser, known)
        parser.expect(")")
        name = None
    else:
        name = parser.parse_identifier()
        if parser.next_token.upper == ".":
            raise StatementError(
                f"reads another table, {name}.{parser.peek_token().text}, want {THIS}"
            )
        # A common table expression hides the table of that name, __THIS__ as well.
        source, names = known.get(name.lower(), (None, ()))
        if source is None and name != THIS:
            raise StatementError(f"reads another table, {name}, want {THIS}")
    if parser.accept("AS") or (
        parser.next_token.kind == "quoted"
        or (parser.next_token.kind == "word" and parser.next_token.upper not in _AFTER_SOURCE)
    ):
        name = parser.parse_identifier()
        names = _parse_column_names(parser) or names
    return _Source(source, name, names)


def _refusal_of(parser: Parser) -> StatementError:
    reason = _OTHER_ROWS.get(parser.next_token.upper)
    if reason is None:
        return parser.syntax_error("want the end of the statement")
    return NeedsOtherRows(f"{reason}, and here a row is answered alone")
