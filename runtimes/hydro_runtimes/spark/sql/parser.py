"""Expressions of Spark SQL, from their words to what `syntax` has.

Operators bind as in SqlBaseParser.g4 of Spark 4.3.0: OR, AND, NOT, predicates and comparisons,
|, ^, &, shifts, + - ||, * / % DIV, signs, and tightest `::`, [] and the dot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from hydro_runtimes.spark.sql import literals
from hydro_runtimes.spark.sql.errors import NeedsOtherRows, StatementError, unknown_function
from hydro_runtimes.spark.sql.syntax import (
    Alias,
    Call,
    Case,
    Cast,
    Element,
    Expression,
    FieldOf,
    In,
    Lambda,
    Like,
    Literal,
    Name,
    Operation,
    Quantified,
    Star,
)
from hydro_runtimes.spark.sql.tokens import Token, read_tokens
from hydro_runtimes.spark.sql.typenames import parse_type
from hydro_runtimes.spark.sql.types import BOOLEAN, VOID, SqlType

_T = TypeVar("_T")

_BINARY: Sequence[Mapping[str, str]] = (
    {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<=>": "<=>"}
    | {"<": "<", "<=": "<=", "!>": "<=", ">": ">", ">=": ">=", "!<": ">="},
    {"|": "|"},
    {"^": "^"},
    {"&": "&"},
    {"<<": "<<", ">>": ">>", ">>>": ">>>"},
    {"+": "+", "-": "-", "||": "||"},
    {"*": "*", "/": "/", "%": "%", "DIV": "div"},
)
"""Operators from those that bind least."""
_UNITS = frozenset(
    (
        *("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DAYOFYEAR"),
        *("HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"),
    )
)
_WITH_UNIT = ("timestampadd", "dateadd", "date_add", "timestampdiff", "datediff", "date_diff")
_QUANTIFIERS = {"ANY": "OR", "SOME": "OR", "ALL": "AND"}
_BUILT_IN = ((), ("builtin",), ("system", "builtin"))
"""What may stand before the name of a function of Spark."""
_RESERVED = frozenset(
    (
        *("FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "THEN", "ELSE", "WHEN"),
        *("END", "AND", "OR", "AS", "LATERAL", "WINDOW", "CLUSTER", "DISTRIBUTE", "SORT"),
    )
)
"""Words that are no names of columns."""


class Parser:
    """Reads words one by one; a statement's own parser goes on where this one stops."""

    def __init__(self, statement: str) -> None:
        """Raises StatementError where the statement has no words."""
        self.statement = statement
        self._tokens = read_tokens(statement)
        self._at = 0
        self._parameters: list[tuple[str, ...]] = []

    @property
    def next_token(self) -> Token:
        return self._tokens[self._at]

    def peek_token(self, ahead: int = 1) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def take_token(self) -> Token:
        token = self.next_token
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def accept(self, *words: str) -> bool:
        """Takes these words if they come next."""
        if all(self.peek_token(i).upper == word for i, word in enumerate(words)):
            self._at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """Takes these words.

        Raises:
            StatementError: others come next.
        """
        if not self.accept(*words):
            raise self.syntax_error(f"want {' '.join(words)}")

    def syntax_error(self, want: str) -> StatementError:
        token = self.next_token
        got = self.statement[token.start : token.end] or "the end"
        return StatementError(f"syntax error at {got!r}, character {token.start + 1}: {want}")

    def parse_expression(self) -> Expression:
        """An expression of any kind.

        Raises:
            StatementError: the grammar has no such expression.
        """
        left = self._parse_and()
        while self.accept("OR"):
            left = Operation("OR", (left, self._parse_and()))
        return left

    def parse_named_expression(self) -> Expression:
        """An expression with or without a name of its own."""
        child = self.parse_expression()
        if self.accept("AS"):
            if self.accept("("):
                raise self.syntax_error("want one name for one column")
            return Alias(child, self.parse_identifier())
        if self.next_token.kind == "quoted" or (
            self.next_token.kind == "word" and self.next_token.upper not in _RESERVED
        ):
            return Alias(child, self.parse_identifier())
        return child

    def parse_identifier(self) -> str:
        if self.next_token.kind not in ("word", "quoted"):
            raise self.syntax_error("want a name")
        return self.take_token().text

    def _parse_and(self) -> Expression:
        left = self._parse_not()
        while self.accept("AND"):
            left = Operation("AND", (left, self._parse_not()))
        return left

    def _parse_not(self) -> Expression:
        if self.accept("NOT") or self.accept("!"):
            return Operation("NOT", (self._parse_not(),))
        if (
            self.next_token.upper == "EXISTS"
            and self.peek_token().upper == "("
            and self._is_query(2)
        ):
            raise NeedsOtherRows("EXISTS (SELECT ...) needs other rows")
        return self._parse_predicates(self.parse_operators(0))

    def _parse_predicates(self, left: Expression) -> Expression:
        while True:
            negated = self.next_token.upper == "NOT" and self.peek_token().upper in (
                "BETWEEN",
                "IN",
                "LIKE",
                "ILIKE",
                "RLIKE",
                "REGEXP",
            )
            if negated:
                self.take_token()
            if (
                negated
                and self.next_token.upper in ("LIKE", "ILIKE")
                and (self.peek_token().upper in _QUANTIFIERS)
            ):
                left = self._parse_like(self.take_token().upper, left, negated=True)
                continue
            found = self._parse_predicate(left)
            if found is None:
                return left
            left = Operation("NOT", (found,)) if negated else found

    def _parse_predicate(self, left: Expression) -> Expression | None:
        if self.accept("IS"):
            return self._parse_is(left)
        if self.accept("BETWEEN"):
            low = self.parse_operators(0)
            self.expect("AND")
            return Call("between", (left, low, self.parse_operators(0)))
        if self.accept("IN"):
            return self._parse_in(left)
        for operator in ("LIKE", "ILIKE"):
            if self.accept(operator):
                return self._parse_like(operator, left)
        if self.accept("RLIKE") or self.accept("REGEXP"):
            return Like("RLIKE", left, self.parse_operators(0))
        return None

    def _parse_is(self, left: Expression) -> Expression:
        negated = self.accept("NOT")
        if self.accept("DISTINCT", "FROM"):
            same = Operation("<=>", (left, self.parse_operators(0)))
            return same if negated else Operation("NOT", (same,))
        if self.accept("NULL") or self.accept("UNKNOWN"):
            # Spark has both words for one test.
            return Call("isnotnull" if negated else "isnull", (left,))
        for word in ("TRUE", "FALSE"):
            if self.accept(word):
                same = Operation("<=>", (left, Literal(BOOLEAN, word == "TRUE", word.lower())))
                return Operation("NOT", (same,)) if negated else same
        raise self.syntax_error("want NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM")

    def _parse_in(self, left: Expression) -> Expression:
        self.expect("(")
        if self._is_query(0):
            raise NeedsOtherRows("IN (SELECT ...) needs other rows")
        options = self.parse_list(self.parse_expression)
        return In(left, tuple(options))

    def _parse_like(self, operator: str, left: Expression, negated: bool = False) -> Expression:
        for word, joint in _QUANTIFIERS.items():
            if self.accept(word):
                self.expect("(")
                tests: list[Expression] = [
                    Like(operator, left, one) for one in self.parse_list(self.parse_expression)
                ]
                if negated:
                    tests = [Operation("NOT", (test,)) for test in tests]
                return Quantified(joint, tuple(tests))
        pattern = self.parse_operators(0)
        if not self.accept("ESCAPE"):
            return Like(operator, left, pattern)
        escape = self.take_token()
        if escape.kind != "text" or len(escape.text) != 1:
            raise self.syntax_error("want ESCAPE with one character")
        return Like(operator, left, pattern, escape.text)

    def parse_operators(self, level: int) -> Expression:
        if level == len(_BINARY):
            return self._parse_sign()
        left = self.parse_operators(level + 1)
        while (operator := _BINARY[level].get(self.next_token.upper)) is not None:
            self.take_token()
            sides = (left, self.parse_operators(level + 1))
            if operator == "<>":
                left = Operation("NOT", (Operation("=", sides),))
            else:
                left = Operation(operator, sides)
        return left

    def _parse_sign(self) -> Expression:
        if self.accept("-"):
            if self.next_token.kind == "number":
                # One literal, so that -9223372036854775808 and -128Y have a type.
                return self._parse_postfixes(literals.number_literal(f"-{self.take_token().text}"))
            return Operation("negate", (self._parse_sign(),))
        if self.accept("+"):
            return Operation("positive", (self._parse_sign(),))
        if self.accept("~"):
            return Operation("~", (self._parse_sign(),))
        return self._parse_postfixes(self._parse_primary())

    def _parse_postfixes(self, node: Expression) -> Expression:
        while True:
            if self.accept("["):
                key = self.parse_expression()
                self.expect("]")
                node = Element(node, key)
            elif self.accept("::"):
                node = Cast(node, self.parse_type())
            elif self.next_token.upper == "." and self.peek_token().kind in ("word", "quoted"):
                self.take_token()
                node = FieldOf(node, self.parse_identifier())
            elif (
                self.next_token.upper == "OVER"
                and isinstance(node, Call)
                and self.peek_token().upper == "("
            ):
                raise NeedsOtherRows(f"{node.written}(...) OVER (...) needs other rows")
            else:
                return node

    def parse_type(self) -> SqlType:
        """A type as in CAST.

        Raises:
            StatementError: there is no such type.
        """
        kind, self._at = parse_type(self._tokens, self._at)
        return kind

    def _parse_primary(self) -> Expression:
        token = self.next_token
        match token.kind:
            case "number":
                return literals.number_literal(self.take_token().text)
            case "text":
                return literals.text_literal("".join(self._take_texts()))
            case "hex":
                return literals.binary_literal(self.take_token().text)
            case "symbol":
                return self._parse_brackets()
            case "end":
                raise self.syntax_error("want an expression")
        special = _SPECIAL.get(token.upper) if token.kind == "word" else None
        found = special(self) if special is not None else None
        return found if found is not None else self._parse_name_or_call()

    def _take_texts(self) -> list[str]:
        """Texts side by side are one."""
        texts = []
        while self.next_token.kind == "text":
            texts.append(self.take_token().text)
        return texts

    def _parse_brackets(self) -> Expression:
        if self.accept("*"):
            return self._parse_star(())
        if self._is_lambda():
            return self._parse_lambda()
        if not self.accept("("):
            raise self.syntax_error("want an expression")
        if self._is_query(0):
            raise NeedsOtherRows("(SELECT ...) as a value needs other rows")
        first = self.parse_named_expression()
        if self.accept(")"):
            return first
        self.expect(",")
        return _struct_of_tuple([first, *self.parse_list(self.parse_named_expression)])

    def _parse_star(self, qualifier: tuple[str, ...]) -> Star:
        without: tuple[tuple[str, ...], ...] = ()
        if self.accept("EXCEPT") or self.accept("EXCLUDE"):
            self.expect("(")
            without = tuple(self.parse_list(lambda: self._parse_path(self.parse_identifier())))
        return Star(qualifier, without)

    def _is_query(self, ahead: int) -> bool:
        return self.peek_token(ahead).upper in ("SELECT", "WITH", "FROM", "VALUES", "TABLE")

    def _is_lambda(self) -> bool:
        """(a, b) -> comes next."""
        if self.next_token.upper != "(":
            return False
        ahead = 1
        while (
            self.peek_token(ahead).kind in ("word", "quoted")
            and self.peek_token(ahead + 1).upper == ","
        ):
            ahead += 2
        return (
            self.peek_token(ahead).kind in ("word", "quoted")
            and self.peek_token(ahead + 1).upper == ")"
            and self.peek_token(ahead + 2).upper == "->"
        )

    def _parse_lambda(self) -> Expression:
        names = (
            tuple(self.parse_list(self.parse_identifier))
            if self.accept("(")
            else (self.parse_identifier(),)
        )
        self.expect("->")
        return Lambda(names, self.parse_expression())

    def parse_list(self, item: Callable[[], _T]) -> list[_T]:
        items = [item()]
        while self.accept(","):
            items.append(item())
        self.expect(")")
        return items

    def _parse_path(self, first: str) -> tuple[str, ...]:
        parts = [first]
        while self.next_token.upper == "." and self.peek_token().kind in ("word", "quoted"):
            self.take_token()
            parts.append(self.parse_identifier())
        return tuple(parts)

    def _parse_name_or_call(self) -> Expression:
        if self.peek_token().upper == "->":
            return self._parse_lambda()
        token = self.next_token
        if token.upper in _RESERVED and (token.upper != "WHEN" or self.peek_token().upper != "("):
            raise self.syntax_error("want an expression")
        for builtin in (("SYSTEM", ".", "BUILTIN", "."), ("BUILTIN", ".")):
            if self.peek_token(len(builtin) + 1).upper == "(":
                self.accept(*builtin)
        if self.peek_token().upper == "(":
            return self._parse_call()
        parts = self._parse_path(self.parse_identifier())
        if self.next_token.upper == "(":
            if tuple(map(str.lower, parts[:-1])) not in _BUILT_IN:
                raise unknown_function(".".join(parts))
            return self._parse_arguments(parts[-1])
        if self.next_token.upper == "." and self.peek_token().upper == "*":
            self.take_token()
            self.take_token()
            return self._parse_star(parts)
        return Name(parts)

    def _parse_call(self) -> Expression:
        return self._parse_arguments(self.take_token().text)

    def _parse_arguments(self, written: str) -> Expression:
        name = written.lower()
        self.expect("(")
        if self.accept("DISTINCT"):
            raise NeedsOtherRows(f"{written}(DISTINCT ...) needs other rows")
        if (
            name in _WITH_UNIT
            and self.next_token.upper in _UNITS
            and self.peek_token().upper == ","
        ):
            return self._parse_with_unit(written)
        if self.accept(")"):
            return self._finish_call(name, (), written)
        if self.next_token.upper == "*" and self.peek_token().upper == ")":
            raise NeedsOtherRows(f"{written}(*) needs other rows")
        arguments = self.parse_list(
            self.parse_named_expression
            if name in ("struct", "named_struct")
            else self.parse_expression
        )
        return self._finish_call(name, tuple(arguments), written)

    def _finish_call(
        self, name: str, arguments: tuple[Expression, ...], written: str
    ) -> Expression:
        if self.accept("FILTER", "("):
            raise NeedsOtherRows(f"{written}(...) FILTER needs other rows")
        return Call(name, arguments, written)

    def _parse_with_unit(self, written: str) -> Expression:
        """timestampdiff(DAY, a, b) and the like, whose first argument is a word."""
        unit = literals.text_literal(self.take_token().text)
        self.expect(",")
        name = {"dateadd": "timestampadd", "date_add": "timestampadd"}.get(
            written.lower(), "timestampdiff" if "diff" in written.lower() else "timestampadd"
        )
        return Call(name, (unit, *self.parse_list(self.parse_expression)), written)


def _struct_of_tuple(parts: Sequence[Expression]) -> Call:
    """(a, b + 1 AS c): a struct of named fields."""
    pairs: list[Expression] = []
    for place, part in enumerate(parts, 1):
        match part:
            case Name():
                pairs += [literals.text_literal(part.parts[-1]), part]
            case Alias():
                pairs += [literals.text_literal(part.name), part.child]
            case _:
                pairs += [literals.text_literal(f"col{place}"), part]
    return Call("named_struct", tuple(pairs), "named_struct")


def _parse_case(parser: Parser) -> Expression:
    parser.take_token()
    subject = None if parser.next_token.upper == "WHEN" else parser.parse_expression()
    branches = []
    while parser.accept("WHEN"):
        test = parser.parse_expression()
        parser.expect("THEN")
        if subject is not None:
            test = Operation("=", (subject, test))
        branches.append((test, parser.parse_expression()))
    otherwise = parser.parse_expression() if parser.accept("ELSE") else None
    parser.expect("END")
    if not branches:
        raise parser.syntax_error("want WHEN")
    return Case(tuple(branches), otherwise)


def _parse_cast(parser: Parser) -> Expression | None:
    if parser.peek_token().upper != "(":
        return None
    safe = parser.take_token().upper == "TRY_CAST"
    parser.expect("(")
    child = parser.parse_expression()
    parser.expect("AS")
    kind = parser.parse_type()
    parser.expect(")")
    return Cast(child, kind, safe)


def _parse_constant(parser: Parser) -> Expression | None:
    if parser.peek_token().upper in ("(", "."):
        return None
    word = parser.take_token().upper
    return (
        Literal(VOID, None, "NULL")
        if word == "NULL"
        else Literal(BOOLEAN, word == "TRUE", word.lower())
    )


def _parse_typed_text(parser: Parser) -> Expression | None:
    """DATE '2020-01-01' and the like."""
    if parser.peek_token().kind != "text":
        return None
    word = parser.take_token().upper
    return literals.datetime_literal(word, parser.take_token().text)


def _parse_interval(parser: Parser) -> Expression | None:
    """INTERVAL 3 DAYS, INTERVAL '3' DAY, INTERVAL '1-2' YEAR TO MONTH, INTERVAL '3 days'."""
    if parser.peek_token().kind not in ("text", "number") and parser.peek_token().upper not in (
        "-",
        "+",
    ):
        return None
    parser.take_token()
    parts: list[tuple[str, str]] = []
    while parser.next_token.kind in ("text", "number") or parser.next_token.upper in ("-", "+"):
        if (
            parts
            and parser.next_token.kind == "symbol"
            and parser.peek_token().kind not in ("text", "number")
        ):
            break
        sign = parser.take_token().text if parser.next_token.kind == "symbol" else ""
        amount = parser.take_token().text.strip()
        if parser.next_token.kind != "word" or parser.next_token.upper in _RESERVED:
            return literals.interval_literal_of_text(sign + amount)
        unit = parser.take_token().upper
        if parser.accept("TO"):
            unit = f"{unit} TO {parser.take_token().upper}"
        if sign == "-":
            amount = amount[1:] if amount.startswith("-") else f"-{amount.removeprefix('+')}"
        parts.append((amount, unit))
    return literals.interval_literal(parts)


def _parse_extract(parser: Parser) -> Expression | None:
    if parser.peek_token().upper != "(" or parser.peek_token(3).upper != "FROM":
        return None
    parser.take_token()
    parser.take_token()
    unit = literals.text_literal(parser.take_token().text)
    parser.expect("FROM")
    source = parser.parse_expression()
    parser.expect(")")
    return Call("extract", (unit, source), "extract")


def _parse_trim(parser: Parser) -> Expression | None:
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
        return Call(name, (text,), written)
    first = parser.parse_expression()
    if parser.accept("FROM"):
        text = parser.parse_expression()
        parser.expect(")")
        return Call(f"{name} from", (first, text), written)
    if parser.accept(","):
        second = parser.parse_expression()
        parser.expect(")")
        return Call(f"{name} from", (first, second), written)
    parser.expect(")")
    return Call(name, (first,), written)


def _parse_substring(parser: Parser) -> Expression | None:
    """substring(x FROM 1 FOR 2) beside substring(x, 1, 2)."""
    return _parse_with_words(parser, ("FROM", "FOR"))


def _parse_overlay(parser: Parser) -> Expression | None:
    return _parse_with_words(parser, ("PLACING", "FROM", "FOR"))


def _parse_position(parser: Parser) -> Expression | None:
    """position('a' IN x) beside position('a', x)."""
    if parser.peek_token().upper != "(":
        return None
    written = parser.take_token().text
    parser.take_token()
    first = parser.parse_operators(0)
    name = "locate" if parser.accept("IN") else "position"
    if name == "position":
        parser.expect(",")
    arguments = [first, *parser.parse_list(parser.parse_expression)]
    return Call(name, tuple(arguments), written)


def _parse_with_words(parser: Parser, words: Sequence[str]) -> Expression | None:
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
    return Call(name, tuple(arguments), written)


_SPECIAL: Mapping[str, Callable[[Parser], Expression | None]] = {
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
"""What the words at the start of an expression lead to; None where it is a name after all."""
