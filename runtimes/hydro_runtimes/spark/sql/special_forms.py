"""Expressions that start with a word of their own: CASE, CAST, EXTRACT, INTERVAL, TRIM and others.

Source: SqlBaseParser.g4 of Spark 4.3.0, primaryExpression.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from hydro_runtimes.spark.sql import literals
from hydro_runtimes.spark.sql.syntax import Case, Cast, Expression, FunctionCall, Literal, Operation
from hydro_runtimes.spark.sql.token_reader import RESERVED, TokenReader
from hydro_runtimes.spark.sql.types import BOOLEAN, VOID, SqlType


class ExpressionReader(TokenReader, ABC):
    """What the special forms need of the parser that they are part of."""

    @abstractmethod
    def parse_expression(self) -> Expression:
        """An expression of any kind."""

    @abstractmethod
    def parse_operators(self, level: int) -> Expression:
        """An expression of operators that bind at least as tightly as those of a level."""

    @abstractmethod
    def parse_type(self) -> SqlType:
        """A type as in CAST."""


def _parse_case(parser: ExpressionReader) -> Expression:
    parser.take_token()
    subject = None if parser.next_token.upper == "WHEN" else parser.parse_expression()
    branches = []
    while parser.accept("WHEN"):
        test = parser.parse_expression()
        parser.expect("THEN")
        if subject is not None:
            # CASE x WHEN y is CASE WHEN x = y: x is evaluated for each branch, as in Spark.
            test = Operation("=", (subject, test))
        branches.append((test, parser.parse_expression()))
    otherwise = parser.parse_expression() if parser.accept("ELSE") else None
    parser.expect("END")
    if not branches:
        raise parser.syntax_error("want WHEN")
    return Case(tuple(branches), otherwise)


def _parse_cast(parser: ExpressionReader) -> Expression | None:
    if parser.peek_token().upper != "(":
        return None
    safe = parser.take_token().upper == "TRY_CAST"
    parser.expect("(")
    child = parser.parse_expression()
    parser.expect("AS")
    kind = parser.parse_type()
    parser.expect(")")
    return Cast(child, kind, safe)


def _parse_constant(parser: ExpressionReader) -> Expression | None:
    if parser.peek_token().upper in ("(", "."):
        return None
    word = parser.take_token().upper
    return (
        Literal(VOID, None, "NULL")
        if word == "NULL"
        else Literal(BOOLEAN, word == "TRUE", word.lower())
    )


def _parse_typed_text(parser: ExpressionReader) -> Expression | None:
    """DATE '2020-01-01', TIMESTAMP '2020-01-01 10:00:00'."""
    if parser.peek_token().kind != "text":
        return None
    word = parser.take_token().upper
    return literals.datetime_literal(word, parser.take_token().text)


def _parse_interval(parser: ExpressionReader) -> Expression | None:
    """INTERVAL 3 DAYS, INTERVAL '3' DAY, INTERVAL '1-2' YEAR TO MONTH, INTERVAL '3 days'."""
    if parser.peek_token().kind not in ("text", "number") and parser.peek_token().upper not in (
        "-",
        "+",
    ):
        return None
    parser.take_token()
    parts: list[tuple[str, str]] = []
    while parser.next_token.kind in ("text", "number") or parser.next_token.upper in ("-", "+"):
        # After an amount, + or - may be a sign of another one or an operator: INTERVAL 1 DAY + x.
        if (
            parts
            and parser.next_token.kind == "symbol"
            and parser.peek_token().kind not in ("text", "number")
        ):
            break
        sign = parser.take_token().text if parser.next_token.kind == "symbol" else ""
        amount = parser.take_token().text.strip()
        if parser.next_token.kind != "word" or parser.next_token.upper in RESERVED:
            return literals.interval_literal_of_text(sign + amount)
        unit = parser.take_token().upper
        if parser.accept("TO"):
            unit = f"{unit} TO {parser.take_token().upper}"
        # A sign before the text negates it: -'-3' is 3.
        if sign == "-":
            amount = amount[1:] if amount.startswith("-") else f"-{amount.removeprefix('+')}"
        parts.append((amount, unit))
    return literals.interval_literal(parts)


def _parse_extract(parser: ExpressionReader) -> Expression | None:
    if parser.peek_token().upper != "(" or parser.peek_token(3).upper != "FROM":
        return None
    parser.take_token()
    parser.take_token()
    unit = literals.text_literal(parser.take_token().text)
    parser.expect("FROM")
    source = parser.parse_expression()
    parser.expect(")")
    return FunctionCall("extract", (unit, source), "extract")


def _parse_trim(parser: ExpressionReader) -> Expression | None:
    """trim(x), trim(BOTH FROM x), trim(LEADING 'a' FROM x), trim('a' FROM x), ltrim('a', x)."""
    if parser.peek_token().upper != "(":
        return None
    written = parser.take_token().text
    parser.take_token()
    side = (
        parser.next_token.upper
        if parser.next_token.upper in ("BOTH", "LEADING", "TRAILING")
        else ""
    )
    if side:
        parser.take_token()
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(side, written.lower())
    if parser.accept("FROM"):
        text = parser.parse_expression()
        parser.expect(")")
        return FunctionCall(name, (text,), written)
    first = parser.parse_expression()
    if parser.accept("FROM"):
        text = parser.parse_expression()
        parser.expect(")")
        return FunctionCall(f"{name} from", (first, text), written)
    if parser.accept(","):
        second = parser.parse_expression()
        parser.expect(")")
        return FunctionCall(f"{name} from", (first, second), written)
    parser.expect(")")
    return FunctionCall(name, (first,), written)


def _parse_substring(parser: ExpressionReader) -> Expression | None:
    """substring(x FROM 1 FOR 2) beside substring(x, 1, 2)."""
    return _parse_with_words(parser, ("FROM", "FOR"))


def _parse_overlay(parser: ExpressionReader) -> Expression | None:
    return _parse_with_words(parser, ("PLACING", "FROM", "FOR"))


def _parse_position(parser: ExpressionReader) -> Expression | None:
    """position('a' IN x) beside position('a', x)."""
    if parser.peek_token().upper != "(":
        return None
    written = parser.take_token().text
    parser.take_token()
    first = parser.parse_operators(0)
    # The first side ends at IN, so it is parsed without predicates.
    name = "locate" if parser.accept("IN") else "position"
    if name == "position":
        parser.expect(",")
    arguments = [first, *parser.parse_list(parser.parse_expression)]
    return FunctionCall(name, tuple(arguments), written)


def _parse_with_words(parser: ExpressionReader, words: Sequence[str]) -> Expression | None:
    if parser.peek_token().upper != "(":
        return None
    written = parser.take_token().text
    parser.take_token()
    arguments = [parser.parse_expression()]
    for word in words:
        if parser.accept(word) or parser.accept(","):
            arguments.append(parser.parse_expression())
    parser.expect(")")
    name = written.lower()
    return FunctionCall(name, tuple(arguments), written)


SPECIAL_FORMS: Mapping[str, Callable[[ExpressionReader], Expression | None]] = {
    "CASE": _parse_case,
    "CAST": _parse_cast,
    "TRY_CAST": _parse_cast,
    "DATE": _parse_typed_text,
    "EXTRACT": _parse_extract,
    "FALSE": _parse_constant,
    "INTERVAL": _parse_interval,
    "LTRIM": _parse_trim,
    "NULL": _parse_constant,
    "OVERLAY": _parse_overlay,
    "POSITION": _parse_position,
    "RTRIM": _parse_trim,
    "SUBSTR": _parse_substring,
    "SUBSTRING": _parse_substring,
    "TIMESTAMP": _parse_typed_text,
    "TIMESTAMP_LTZ": _parse_typed_text,
    "TIMESTAMP_NTZ": _parse_typed_text,
    "TRIM": _parse_trim,
    "TRUE": _parse_constant,
}
"""By first word, the parser of the form; it returns None, and passes nothing, if this is a name."""
