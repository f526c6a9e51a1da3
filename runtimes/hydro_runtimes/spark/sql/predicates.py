"""Predicates that follow an expression: IS, BETWEEN, IN, LIKE, ILIKE, RLIKE, and NOT before them.

Source: SqlBaseParser.g4 of Spark 4.3.0, predicate.
"""

from __future__ import annotations

from hydro_runtimes.spark.sql.errors import NeedsOtherRows
from hydro_runtimes.spark.sql.special_forms import ExpressionReader
from hydro_runtimes.spark.sql.syntax import (
    Expression,
    FunctionCall,
    In,
    Like,
    Literal,
    Operation,
    Quantified,
)
from hydro_runtimes.spark.sql.types import BOOLEAN

_QUANTIFIERS = {"ANY": "OR", "SOME": "OR", "ALL": "AND"}
_NEGATED = ("BETWEEN", "IN", "LIKE", "ILIKE", "RLIKE", "REGEXP")
"""The predicates that NOT may stand before."""


def parse_predicates(parser: ExpressionReader, left: Expression) -> Expression:
    """The expression `left` with all predicates that follow it.

    Raises:
        StatementError: the grammar does not allow what comes next.
        NeedsOtherRows: a predicate has a subquery.
    """
    while True:
        negated = parser.next_token.upper == "NOT" and parser.peek_token().upper in _NEGATED
        if negated:
            parser.take_token()
        if (
            negated
            and parser.next_token.upper in ("LIKE", "ILIKE")
            and parser.peek_token().upper in _QUANTIFIERS
        ):
            # NOT LIKE ALL (...) negates each test, and not the whole.
            left = _parse_like(parser, parser.take_token().upper, left, negated=True)
            continue
        found = _parse_predicate(parser, left)
        if found is None:
            return left
        left = Operation("NOT", (found,)) if negated else found


def _parse_predicate(parser: ExpressionReader, left: Expression) -> Expression | None:
    if parser.accept("IS"):
        return _parse_is(parser, left)
    if parser.accept("BETWEEN"):
        low = parser.parse_operators(0)
        parser.expect("AND")
        return FunctionCall("between", (left, low, parser.parse_operators(0)))
    if parser.accept("IN"):
        return _parse_in(parser, left)
    for operator in ("LIKE", "ILIKE"):
        if parser.accept(operator):
            return _parse_like(parser, operator, left)
    if parser.accept("RLIKE") or parser.accept("REGEXP"):
        return Like("RLIKE", left, parser.parse_operators(0))
    return None


def _parse_is(parser: ExpressionReader, left: Expression) -> Expression:
    negated = parser.accept("NOT")
    if parser.accept("DISTINCT", "FROM"):
        same = Operation("<=>", (left, parser.parse_operators(0)))
        return same if negated else Operation("NOT", (same,))
    for word in ("NULL", "UNKNOWN"):
        if parser.accept(word):
            # Spark has two words for one test; the second stays in the name of literals alone.
            is_constant = isinstance(left, Literal) and left.type == BOOLEAN
            written = word if is_constant else "NULL"
            return FunctionCall("isnotnull" if negated else "isnull", (left,), f"IS {written}")
    for word in ("TRUE", "FALSE"):
        if parser.accept(word):
            same = Operation("<=>", (left, Literal(BOOLEAN, word == "TRUE", word.lower())))
            return Operation("NOT", (same,)) if negated else same
    raise parser.syntax_error("want NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM")


def _parse_in(parser: ExpressionReader, left: Expression) -> Expression:
    parser.expect("(")
    if parser.is_query(0):
        raise NeedsOtherRows("IN (SELECT ...) needs other rows")
    options = parser.parse_list(parser.parse_expression)
    return In(left, tuple(options))


def _parse_like(
    parser: ExpressionReader, operator: str, left: Expression, negated: bool = False
) -> Expression:
    for word, joint in _QUANTIFIERS.items():
        if parser.accept(word):
            parser.expect("(")
            tests: list[Expression] = [
                Like(operator, left, one) for one in parser.parse_list(parser.parse_expression)
            ]
            if negated:
                tests = [Operation("NOT", (test,)) for test in tests]
            return Quantified(joint, tuple(tests))
    pattern = parser.parse_operators(0)
    if not parser.accept("ESCAPE"):
        return Like(operator, left, pattern)
    escape = parser.take_token()
    if escape.kind != "text" or len(escape.text) != 1:
        raise parser.syntax_error("want ESCAPE with one character")
    return Like(operator, left, pattern, escape.text)
