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
from hydro_runtimes.spark.sql.tokens import Token, tokens
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
        self._tokens = tokens(statement)
        self._at = 0
        self._parameters: list[tuple[str, ...]] = []

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    def peek(self, ahead: int = 1) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self.next
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def accept(self, *words: str) -> bool:
        """Takes these words if they come next."""
        if all(self.peek(i).upper == word for i, word in enumerate(words)):
            self._at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """Takes these words.

        Raises:
            StatementError: others come next.
        """
        if not self.accept(*words):
            raise self.error(f"want {' '.join(words)}")

    def error(self, want: str) -> StatementError:
        token = self.next
        got = self.statement[token.start : token.end] or "the end"
        return StatementError(f"syntax error at {got!r}, character {token.start + 1}: {want}")

    def expression(self) -> Expression:
        """An expression of any kind.

        Raises:
            StatementError: the grammar has no such expression.
        """
        left = self._and()
        while self.accept("OR"):
            left = Operation("OR", (left, self._and()))
        return left

    def named(self) -> Expression:
        """An expression with or without a name of its own."""
        child = self.expression()
        if self.accept("AS"):
            if self.accept("("):
                raise self.error("want one name for one column")
            return Alias(child, self.identifier())
        if self.next.kind == "quoted" or (
            self.next.kind == "word" and self.next.upper not in _RESERVED
        ):
            return Alias(child, self.identifier())
        return child

    def identifier(self) -> str:
        if self.next.kind not in ("word", "quoted"):
            raise self.error("want a name")
        return self.take().text

    def _and(self) -> Expression:
        left = self._not()
        while self.accept("AND"):
            left = Operation("AND", (left, self._not()))
        return left

    def _not(self) -> Expression:
        if self.accept("NOT") or self.accept("!"):
            return Operation("NOT", (self._not(),))
        if self.next.upper == "EXISTS" and self.peek().upper == "(" and self._is_query(2):
            raise NeedsOtherRows("EXISTS (SELECT ...) needs other rows")
        return self._predicates(self._binary(0))

    def _predicates(self, left: Expression) -> Expression:
        while True:
            negated = self.next.upper == "NOT" and self.peek().upper in (
                "BETWEEN",
                "IN",
                "LIKE",
                "ILIKE",
                "RLIKE",
                "REGEXP",
            )
            if negated:
                self.take()
            if (
                negated
                and self.next.upper in ("LIKE", "ILIKE")
                and (self.peek().upper in _QUANTIFIERS)
            ):
                left = self._like(self.take().upper, left, negated=True)
                continue
            found = self._predicate(left)
            if found is None:
                return left
            left = Operation("NOT", (found,)) if negated else found

    def _predicate(self, left: Expression) -> Expression | None:
        if self.accept("IS"):
            return self._is(left)
        if self.accept("BETWEEN"):
            low = self._binary(0)
            self.expect("AND")
            return Call("between", (left, low, self._binary(0)))
        if self.accept("IN"):
            return self._in(left)
        for operator in ("LIKE", "ILIKE"):
            if self.accept(operator):
                return self._like(operator, left)
        if self.accept("RLIKE") or self.accept("REGEXP"):
            return Like("RLIKE", left, self._binary(0))
        return None

    def _is(self, left: Expression) -> Expression:
        negated = self.accept("NOT")
        if self.accept("DISTINCT", "FROM"):
            same = Operation("<=>", (left, self._binary(0)))
            return same if negated else Operation("NOT", (same,))
        if self.accept("NULL") or self.accept("UNKNOWN"):
            # Spark has both words for one test.
            return Call("isnotnull" if negated else "isnull", (left,))
        for word in ("TRUE", "FALSE"):
            if self.accept(word):
                same = Operation("<=>", (left, Literal(BOOLEAN, word == "TRUE", word.lower())))
                return Operation("NOT", (same,)) if negated else same
        raise self.error("want NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM")

    def _in(self, left: Expression) -> Expression:
        self.expect("(")
        if self._is_query(0):
            raise NeedsOtherRows("IN (SELECT ...) needs other rows")
        options = self._list(self.expression)
        return In(left, tuple(options))

    def _like(self, operator: str, left: Expression, negated: bool = False) -> Expression:
        for word, joint in _QUANTIFIERS.items():
            if self.accept(word):
                self.expect("(")
                tests: list[Expression] = [
                    Like(operator, left, one) for one in self._list(self.expression)
                ]
                if negated:
                    tests = [Operation("NOT", (test,)) for test in tests]
                return Quantified(joint, tuple(tests))
        pattern = self._binary(0)
        if not self.accept("ESCAPE"):
            return Like(operator, left, pattern)
        escape = self.take()
        if escape.kind != "text" or len(escape.text) != 1:
            raise self.error("want ESCAPE with one character")
        return Like(operator, left, pattern, escape.text)

    def _binary(self, level: int) -> Expression:
        if level == len(_BINARY):
            return self._sign()
        left = self._binary(level + 1)
        while (operator := _BINARY[level].get(self.next.upper)) is not None:
            self.take()
            sides = (left, self._binary(level + 1))
            if operator == "<>":
                left = Operation("NOT", (Operation("=", sides),))
            else:
                left = Operation(operator, sides)
        return left

    def _sign(self) -> Expression:
        if self.accept("-"):
            if self.next.kind == "number":
                # One literal, so that -9223372036854775808 and -128Y have a type.
                return self._postfixes(literals.number(f"-{self.take().text}"))
            return Operation("negate", (self._sign(),))
        if self.accept("+"):
            return Operation("positive", (self._sign(),))
        if self.accept("~"):
            return Operation("~", (self._sign(),))
        return self._postfixes(self._primary())

    def _postfixes(self, node: Expression) -> Expression:
        while True:
            if self.accept("["):
                key = self.expression()
                self.expect("]")
                node = Element(node, key)
            elif self.accept("::"):
                node = Cast(node, self.type())
            elif self.next.upper == "." and self.peek().kind in ("word", "quoted"):
                self.take()
                node = FieldOf(node, self.identifier())
            elif self.next.upper == "OVER" and isinstance(node, Call) and self.peek().upper == "(":
                raise NeedsOtherRows(f"{node.written}(...) OVER (...) needs other rows")
            else:
                return node

    def type(self) -> SqlType:
        """A type as in CAST.

        Raises:
            StatementError: there is no such type.
        """
        kind, self._at = parse_type(self._tokens, self._at)
        return kind

    def _primary(self) -> Expression:
        token = self.next
        match token.kind:
            case "number":
                return literals.number(self.take().text)
            case "text":
                return literals.text("".join(self._texts()))
            case "hex":
                return literals.binary(self.take().text)
            case "symbol":
                return self._bracketed()
            case "end":
                raise self.error("want an expression")
        special = _SPECIAL.get(token.upper) if token.kind == "word" else None
        found = special(self) if special is not None else None
        return found if found is not None else self._name_or_call()

    def _texts(self) -> list[str]:
        """Texts side by side are one."""
        texts = []
        while self.next.kind == "text":
            texts.append(self.take().text)
        return texts

    def _bracketed(self) -> Expression:
        if self.accept("*"):
            return self._star(())
        if self._is_lambda():
            return self._lambda()
        if not self.accept("("):
            raise self.error("want an expression")
        if self._is_query(0):
            raise NeedsOtherRows("(SELECT ...) as a value needs other rows")
        first = self.named()
        if self.accept(")"):
            return first
        self.expect(",")
        return _tuple([first, *self._list(self.named)])

    def _star(self, qualifier: tuple[str, ...]) -> Star:
        without: tuple[tuple[str, ...], ...] = ()
        if self.accept("EXCEPT") or self.accept("EXCLUDE"):
            self.expect("(")
            without = tuple(self._list(lambda: self._path(self.identifier())))
        return Star(qualifier, without)

    def _is_query(self, ahead: int) -> bool:
        return self.peek(ahead).upper in ("SELECT", "WITH", "FROM", "VALUES", "TABLE")

    def _is_lambda(self) -> bool:
        """(a, b) -> comes next."""
        if self.next.upper != "(":
            return False
        ahead = 1
        while self.peek(ahead).kind in ("word", "quoted") and self.peek(ahead + 1).upper == ",":
            ahead += 2
        return (
            self.peek(ahead).kind in ("word", "quoted")
            and self.peek(ahead + 1).upper == ")"
            and self.peek(ahead + 2).upper == "->"
        )

    def _lambda(self) -> Expression:
        names = tuple(self._list(self.identifier)) if self.accept("(") else (self.identifier(),)
        self.expect("->")
        return Lambda(names, self.expression())

    def _list(self, item: Callable[[], _T]) -> list[_T]:
        items = [item()]
        while self.accept(","):
            items.append(item())
        self.expect(")")
        return items

    def _path(self, first: str) -> tuple[str, ...]:
        parts = [first]
        while self.next.upper == "." and self.peek().kind in ("word", "quoted"):
            self.take()
            parts.append(self.identifier())
        return tuple(parts)

    def _name_or_call(self) -> Expression:
        if self.peek().upper == "->":
            return self._lambda()
        token = self.next
        if token.upper in _RESERVED and (token.upper != "WHEN" or self.peek().upper != "("):
            raise self.error("want an expression")
        for builtin in (("SYSTEM", ".", "BUILTIN", "."), ("BUILTIN", ".")):
            if self.peek(len(builtin) + 1).upper == "(":
                self.accept(*builtin)
        if self.peek().upper == "(":
            return self._call()
        parts = self._path(self.identifier())
        if self.next.upper == "(":
            if tuple(map(str.lower, parts[:-1])) not in _BUILT_IN:
                raise unknown_function(".".join(parts))
            return self._call_of(parts[-1])
        if self.next.upper == "." and self.peek().upper == "*":
            self.take()
            self.take()
            return self._star(parts)
        return Name(parts)

    def _call(self) -> Expression:
        return self._call_of(self.take().text)

    def _call_of(self, written: str) -> Expression:
        name = written.lower()
        self.expect("(")
        if self.accept("DISTINCT"):
            raise NeedsOtherRows(f"{written}(DISTINCT ...) needs other rows")
        if name in _WITH_UNIT and self.next.upper in _UNITS and self.peek().upper == ",":
            return self._with_unit(written)
        if self.accept(")"):
            return self._called(name, (), written)
        if self.next.upper == "*" and self.peek().upper == ")":
            raise NeedsOtherRows(f"{written}(*) needs other rows")
        arguments = self._list(
            self.named if name in ("struct", "named_struct") else self.expression
        )
        return self._called(name, tuple(arguments), written)

    def _called(self, name: str, arguments: tuple[Expression, ...], written: str) -> Expression:
        if self.accept("FILTER", "("):
            raise NeedsOtherRows(f"{written}(...) FILTER needs other rows")
        return Call(name, arguments, written)

    def _with_unit(self, written: str) -> Expression:
        """timestampdiff(DAY, a, b) and the like, whose first argument is a word."""
        unit = literals.text(self.take().text)
        self.expect(",")
        name = {"dateadd": "timestampadd", "date_add": "timestampadd"}.get(
            written.lower(), "timestampdiff" if "diff" in written.lower() else "timestampadd"
        )
        return Call(name, (unit, *self._list(self.expression)), written)


def _tuple(parts: Sequence[Expression]) -> Call:
    """(a, b + 1 AS c): a struct of named fields."""
    pairs: list[Expression] = []
    for place, part in enumerate(parts, 1):
        match part:
            case Name():
                pairs += [literals.text(part.parts[-1]), part]
            case Alias():
                pairs += [literals.text(part.name), part.child]
            case _:
                pairs += [literals.text(f"col{place}"), part]
    return Call("named_struct", tuple(pairs), "named_struct")


def _case(parser: Parser) -> Expression:
    parser.take()
    subject = None if parser.next.upper == "WHEN" else parser.expression()
    branches = []
    while parser.accept("WHEN"):
        test = parser.expression()
        parser.expect("THEN")
        if subject is not None:
            test = Operation("=", (subject, test))
        branches.append((test, parser.expression()))
    otherwise = parser.expression() if parser.accept("ELSE") else None
    parser.expect("END")
    if not branches:
        raise parser.error("want WHEN")
    return Case(tuple(branches), otherwise)


def _cast(parser: Parser) -> Expression | None:
    if parser.peek().upper != "(":
        return None
    safe = parser.take().upper == "TRY_CAST"
    parser.expect("(")
    child = parser.expression()
    parser.expect("AS")
    kind = parser.type()
    parser.expect(")")
    return Cast(child, kind, safe)


def _constant(parser: Parser) -> Expression | None:
    if parser.peek().upper in ("(", "."):
        return None
    word = parser.take().upper
    return (
        Literal(VOID, None, "NULL")
        if word == "NULL"
        else Literal(BOOLEAN, word == "TRUE", word.lower())
    )


def _typed_text(parser: Parser) -> Expression | None:
    """DATE '2020-01-01' and the like."""
    if parser.peek().kind != "text":
        return None
    word = parser.take().upper
    return literals.typed(word, parser.take().text)


def _interval(parser: Parser) -> Expression | None:
    """INTERVAL 3 DAYS, INTERVAL '3' DAY, INTERVAL '1-2' YEAR TO MONTH, INTERVAL '3 days'."""
    if parser.peek().kind not in ("text", "number") and parser.peek().upper not in ("-", "+"):
        return None
    parser.take()
    parts: list[tuple[str, str]] = []
    while parser.next.kind in ("text", "number") or parser.next.upper in ("-", "+"):
        if parts and parser.next.kind == "symbol" and parser.peek().kind not in ("text", "number"):
            break
        sign = parser.take().text if parser.next.kind == "symbol" else ""
        amount = parser.take().text.strip()
        if parser.next.kind != "word" or parser.next.upper in _RESERVED:
            return literals.interval_text(sign + amount)
        unit = parser.take().upper
        if parser.accept("TO"):
            unit = f"{unit} TO {parser.take().upper}"
        if sign == "-":
            amount = amount[1:] if amount.startswith("-") else f"-{amount.removeprefix('+')}"
        parts.append((amount, unit))
    return literals.interval(parts)


def _extract(parser: Parser) -> Expression | None:
    if parser.peek().upper != "(" or parser.peek(3).upper != "FROM":
        return None
    parser.take()
    parser.take()
    unit = literals.text(parser.take().text)
    parser.expect("FROM")
    source = parser.expression()
    parser.expect(")")
    return Call("extract", (unit, source), "extract")


def _trim(parser: Parser) -> Expression | None:
    """trim(x), trim(BOTH FROM x), trim(LEADING 'a' FROM x), trim('a' FROM x), ltrim('a', x)."""
    if parser.peek().upper != "(":
        return None
    written = parser.take().text
    parser.take()
    side = parser.next.upper if parser.next.upper in ("BOTH", "LEADING", "TRAILING") else ""
    if side:
        parser.take()
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(side, written.lower())
    if parser.accept("FROM"):
        text = parser.expression()
        parser.expect(")")
        return Call(name, (text,), written)
    first = parser.expression()
    if parser.accept("FROM"):
        text = parser.expression()
        parser.expect(")")
        return Call(f"{name} from", (first, text), written)
    if parser.accept(","):
        second = parser.expression()
        parser.expect(")")
        return Call(f"{name} from", (first, second), written)
    parser.expect(")")
    return Call(name, (first,), written)


def _substring(parser: Parser) -> Expression | None:
    """substring(x FROM 1 FOR 2) beside substring(x, 1, 2)."""
    return _with_words(parser, ("FROM", "FOR"))


def _overlay(parser: Parser) -> Expression | None:
    return _with_words(parser, ("PLACING", "FROM", "FOR"))


def _position(parser: Parser) -> Expression | None:
    """position('a' IN x) beside position('a', x)."""
    if parser.peek().upper != "(":
        return None
    written = parser.take().text
    parser.take()
    first = parser._binary(0)
    name = "locate" if parser.accept("IN") else "position"
    if name == "position":
        parser.expect(",")
    arguments = [first, *parser._list(parser.expression)]
    return Call(name, tuple(arguments), written)


def _with_words(parser: Parser, words: Sequence[str]) -> Expression | None:
    if parser.peek().upper != "(":
        return None
    written = parser.take().text
    parser.take()
    arguments = [parser.expression()]
    for word in words:
        if parser.accept(word) or parser.accept(","):
            arguments.append(parser.expression())
    parser.expect(")")
    name = written.lower()
    return Call(name, tuple(arguments), written)


_SPECIAL: Mapping[str, Callable[[Parser], Expression | None]] = {
    "CASE": _case,
    "CAST": _cast,
    "TRY_CAST": _cast,
    "DATE": _typed_text,
    "EXTRACT": _extract,
    "FALSE": _constant,
    "INTERVAL": _interval,
    "LTRIM": _trim,
    "NULL": _constant,
    "OVERLAY": _overlay,
    "POSITION": _position,
    "RTRIM": _trim,
    "SUBSTR": _substring,
    "SUBSTRING": _substring,
    "TIMESTAMP": _typed_text,
    "TIMESTAMP_LTZ": _typed_text,
    "TIMESTAMP_NTZ": _typed_text,
    "TRIM": _trim,
    "TRUE": _constant,
}
"""What the words at the start of an expression lead to; None where it is a name after all."""
