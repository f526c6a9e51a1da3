"""Statements: SELECT ... FROM __THIS__ WHERE ..., with subqueries and common table expressions.

Source: SqlBaseParser.g4 of Spark 4.3.0, queryPrimary and ctes.
"""

from __future__ import annotations

from collections.abc import Mapping

from hydro_runtimes.spark.sql.errors import NeedsOtherRows, StatementError
from hydro_runtimes.spark.sql.parser import Parser
from hydro_runtimes.spark.sql.syntax import Expression, Select

THIS = "__THIS__"
"""The name of the rows that come in."""
_MAX_CHARACTERS = 100_000
_OTHER_ROWS = {
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
    select = _query(parser, {})
    parser.accept(";")
    if parser.next.kind != "end":
        raise _refusal(parser)
    return select


def _query(parser: Parser, known: Mapping[str, Select]) -> Select:
    if parser.accept("WITH"):
        known = _common_tables(parser, known)
    if parser.accept("("):
        select = _query(parser, known)
        parser.expect(")")
        return select
    if not parser.accept("SELECT"):
        raise parser.error("want SELECT")
    return _select(parser, known)


def _common_tables(parser: Parser, known: Mapping[str, Select]) -> Mapping[str, Select]:
    if parser.accept("RECURSIVE"):
        raise NeedsOtherRows("WITH RECURSIVE makes several rows of one")
    while True:
        name = parser.identifier()
        parser.expect("AS")
        parser.expect("(")
        known = {**known, name.lower(): _query(parser, known)}
        parser.expect(")")
        if not parser.accept(","):
            return known


def _select(parser: Parser, known: Mapping[str, Select]) -> Select:
    if parser.accept("DISTINCT"):
        raise NeedsOtherRows("SELECT DISTINCT compares rows with other rows")
    parser.accept("ALL")
    items: list[Expression] = [parser.named()]
    while parser.accept(","):
        items.append(parser.named())
    if not parser.accept("FROM"):
        raise StatementError(f"reads no table, want FROM {THIS}")
    source, alias = _source(parser, known)
    if parser.next.upper == ",":
        raise NeedsOtherRows("a second table after FROM is a join")
    where = parser.expression() if parser.accept("WHERE") else None
    if parser.next.upper in _OTHER_ROWS:
        raise _refusal(parser)
    return Select(tuple(items), source, alias, where)


def _source(parser: Parser, known: Mapping[str, Select]) -> tuple[Select | None, str | None]:
    source: Select | None = None
    if parser.accept("("):
        source = _query(parser, known)
        parser.expect(")")
        name = None
    else:
        name = parser.identifier()
        if parser.next.upper == ".":
            raise StatementError(f"reads another table, {name}.{parser.peek().text}, want {THIS}")
        source = known.get(name.lower())
        if source is None and name.upper() != THIS:
            raise StatementError(f"reads another table, {name}, want {THIS}")
    if parser.accept("AS") or (
        parser.next.kind == "quoted"
        or (parser.next.kind == "word" and parser.next.upper not in ("WHERE", *_OTHER_ROWS))
    ):
        name = parser.identifier()
    return source, name


def _refusal(parser: Parser) -> StatementError:
    reason = _OTHER_ROWS.get(parser.next.upper)
    if reason is None:
        return parser.error("want the end of the statement")
    return NeedsOtherRows(f"{reason}, and here a row is answered alone")
