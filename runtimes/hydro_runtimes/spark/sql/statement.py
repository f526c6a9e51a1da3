"""Statements: SELECT ... FROM __THIS__ WHERE ..., with subqueries and common table expressions.

Source: SqlBaseParser.g4 of Spark 4.3.0, queryPrimary and ctes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hydro_runtimes.spark.sql.errors import NeedsOtherRows, StatementError
from hydro_runtimes.spark.sql.parser import Parser
from hydro_runtimes.spark.sql.syntax import Expression, Select, Star

THIS = "__THIS__"
"""The name of the rows that come in."""
_MAX_CHARACTERS = 100_000
Table: TypeAlias = tuple[Select, tuple[str, ...]]
"""A query, and the names that its columns have outside of it; none where they are its own."""
Tables: TypeAlias = Mapping[str, Table]
"""By name in lower case: common table expressions."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What a SELECT reads."""

    select: Select | None
    """None: the rows that come in."""
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
    """A statement over __THIS__.

    Raises:
        StatementError: the grammar has no such statement, or it reads another table.
        NeedsOtherRows: its answer for a row depends on other rows.
    """
    if len(statement) > _MAX_CHARACTERS:
        got = f"has {len(statement)} characters"
        raise StatementError(f"{got}, want at most {_MAX_CHARACTERS}")
    parser = Parser(statement)
    select = _query(parser, {})[0]
    parser.accept(";")
    if parser.next.kind != "end":
        raise _refusal(parser)
    return select


def _query(parser: Parser, known: Tables) -> Table:
    if parser.accept("WITH"):
        known = _common_tables(parser, known)
    return _piped(parser, known, _Source(*_primary(parser, known)))


def _primary(parser: Parser, known: Tables) -> tuple[Select | None, str | None, tuple[str, ...]]:
    """What stands before the first |>: a query, FROM table or TABLE table."""
    if parser.accept("("):
        select, names = _query(parser, known)
        parser.expect(")")
        return select, None, names
    if parser.accept("SELECT"):
        items = _items(parser)
        if not parser.accept("FROM"):
            raise StatementError(f"reads no table, want FROM {THIS}")
        return _select(parser, items, _source(parser, known)), None, ()
    if not (parser.accept("FROM") or parser.accept("TABLE")):
        raise parser.error("want SELECT")
    source = _source(parser, known)
    if parser.accept("SELECT"):
        return _select(parser, _items(parser), source), None, ()
    return source.select, source.alias, source.names


def _piped(parser: Parser, known: Tables, source: _Source) -> Table:
    """The steps that follow, each over what the one before it gives."""
    is_query = source.alias is None and source.select is not None
    while parser.accept("|>"):
        is_query = False
        if parser.accept("AS"):
            source = _Source(source.select, parser.identifier(), source.names)
        elif parser.accept("SELECT"):
            source = _Source(_over(source, _items(parser)), None, ())
        elif parser.accept("EXTEND"):
            source = _Source(_over(source, (Star(), *_items(parser))), None, ())
        elif parser.accept("DROP"):
            names = [(parser.identifier(),)]
            while parser.accept(","):
                names.append((parser.identifier(),))
            source = _Source(_over(source, (Star((), tuple(names)),)), None, ())
        elif parser.accept("SET"):
            source = _set(parser, source)
        elif parser.accept("WHERE"):
            select = Select(
                (Star(),), source.select, source.alias, parser.expression(), source.names
            )
            source = _Source(select, source.alias, ())
        else:
            raise _refusal(parser)
    if is_query and source.select is not None:
        return source.select, source.names
    return _over(source, (Star(),)), ()


def _set(parser: Parser, source: _Source) -> _Source:
    while True:
        name = parser.identifier()
        parser.expect("=")
        star = Star(replaced=((name, parser.expression()),))
        source = _Source(_over(source, (star,)), source.alias, ())
        if not parser.accept(","):
            return source


def _over(source: _Source, items: tuple[Expression, ...]) -> Select:
    return Select(items, source.select, source.alias, None, source.names)


def _common_tables(parser: Parser, known: Tables) -> Tables:
    if parser.accept("RECURSIVE"):
        raise NeedsOtherRows("WITH RECURSIVE makes several rows of one")
    while True:
        name = parser.identifier()
        names = _names(parser)
        parser.accept("AS")
        parser.expect("(")
        select, inner_names = _query(parser, known)
        known = {**known, name.lower(): (select, names or inner_names)}
        parser.expect(")")
        if not parser.accept(","):
            return known


def _names(parser: Parser) -> tuple[str, ...]:
    """Names of columns in brackets, where there are some."""
    if not parser.accept("("):
        return ()
    names = [parser.identifier()]
    while parser.accept(","):
        names.append(parser.identifier())
    parser.expect(")")
    return tuple(names)


def _items(parser: Parser) -> tuple[Expression, ...]:
    if parser.accept("DISTINCT"):
        raise NeedsOtherRows("SELECT DISTINCT compares rows with other rows")
    parser.accept("ALL")
    items: list[Expression] = [parser.named()]
    while parser.accept(","):
        items.append(parser.named())
    return tuple(items)


def _select(parser: Parser, items: tuple[Expression, ...], source: _Source) -> Select:
    if parser.next.upper == ",":
        raise NeedsOtherRows("a second table after FROM is a join")
    where = parser.expression() if parser.accept("WHERE") else None
    if parser.next.upper in _OTHER_ROWS:
        raise _refusal(parser)
    return Select(items, source.select, source.alias, where, source.names)


def _source(parser: Parser, known: Tables) -> _Source:
    source: Select | None = None
    names: tuple[str, ...] = ()
    if parser.accept("("):
        source, names = _query(parser, known)
        parser.expect(")")
        name = None
    else:
        name = parser.identifier()
        if parser.next.upper == ".":
            raise StatementError(f"reads another table, {name}.{parser.peek().text}, want {THIS}")
        source, names = known.get(name.lower(), (None, ()))
        if source is None and name.upper() != THIS:
            raise StatementError(f"reads another table, {name}, want {THIS}")
    if parser.accept("AS") or (
        parser.next.kind == "quoted"
        or (parser.next.kind == "word" and parser.next.upper not in _AFTER_SOURCE)
    ):
        name = parser.identifier()
        names = _names(parser) or names
    return _Source(source, name, names)


def _refusal(parser: Parser) -> StatementError:
    reason = _OTHER_ROWS.get(parser.next.upper)
    if reason is None:
        return parser.error("want the end of the statement")
    return NeedsOtherRows(f"{reason}, and here a row is answered alone")
