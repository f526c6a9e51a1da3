"""The parser of expressions of Spark SQL: from their words to the nodes of `syntax`.

Operators bind as in SqlBaseParser.g4 of Spark 4.3.0, from loose to tight: OR, AND, NOT, predicates
and comparisons, |, ^, &, shifts, + - ||, * / % DIV, signs, and `::`, [] and the dot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydro_runtimes.spark.sql import literals
from hydro_runtimes.spark.sql.errors import NeedsOtherRows, unknown_function
from hydro_runtimes.spark.sql.predicates import parse_predicates
from hydro_runtimes.spark.sql.special_forms import SPECIAL_FORMS, ExpressionReader
from hydro_runtimes.spark.sql.syntax import (
    Alias,
    Cast,
    Element,
    Expression,
    FieldOf,
    FunctionCall,
    Lambda,
    Name,
    Operation,
    Star,
)
from hydro_runtimes.spark.sql.token_reader import RESERVED
from hydro_runtimes.spark.sql.typenames import parse_type
from hydro_runtimes.spark.sql.types import SqlType

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
"""Operators by level, from those that bind loosest."""
_UNITS = frozenset(
    (
        *("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DAYOFYEAR"),
        *("HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"),
    )
)
_WITH_UNIT = ("timestampadd", "dateadd", "date_add", "timestampdiff", "datediff", "date_diff")
_BUILT_IN = ((), ("builtin",), ("system", "builtin"))
"""The qualifiers that a function of Spark may have."""


class Parser(ExpressionReader):
    """Parses expressions by recursive descent; `statement` goes on where an expression ends.

    All methods raise StatementError if the grammar does not allow what comes next, and
    NeedsOtherRows if the answer for a row would depend on other rows.
    """

    def parse_expression(self) -> Expression:
        """An expression of any kind."""
        left = self._parse_and()
        while self.accept("OR"):
            left = Operation("OR", (left, self._parse_and()))
        return left

    def parse_named_expression(self) -> Expression:
        """An expression with or without an alias."""
        child = self.parse_expression()
        if self.accept("AS"):
            if self.accept("("):
                raise self.syntax_error("want one name for one column")
            return Alias(child, self.parse_identifier())
        if self.next_token.kind == "quoted" or (
            self.next_token.kind == "word" and self.next_token.upper not in RESERVED
        ):
            return Alias(child, self.parse_identifier())
        return child

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
            and self.is_query(2)
        ):
            raise NeedsOtherRows("EXISTS (SELECT ...) needs other rows")
        # NOT binds looser than predicates: NOT a IN (1) is NOT (a IN (1)).
        return parse_predicates(self, self.parse_operators(0))

    def parse_operators(self, level: int) -> Expression:
        if level == len(_BINARY):
            return self._parse_sign()
        left = self.parse_operators(level + 1)
        # A loop, and not a recursion, because all these operators are left-associative.
        while (operator := _BINARY[level].get(self.next_token.upper)) is not None:
            self.take_token()
            sides = (left, self.parse_operators(level + 1))
            # Spark's tree has no node for <>: its names and messages say (NOT (a = b)).
            if operator == "<>":
                left = Operation("NOT", (Operation("=", sides),))
            else:
                left = Operation(operator, sides)
        return left

    def _parse_sign(self) -> Expression:
        if self.accept("-"):
            if self.next_token.kind == "number":
                # One literal: without the sign, -9223372036854775808 and -128Y would not fit.
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
                and isinstance(node, FunctionCall)
                and self.peek_token().upper == "("
            ):
                raise NeedsOtherRows(f"{node.written}(...) OVER (...) needs other rows")
            else:
                return node

    def parse_type(self) -> SqlType:
        """A type as in CAST."""
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
        # Such a word may be a name, too, as in SELECT date FROM ...: then the form returns None.
        # Words before brackets: CASE, CAST, INTERVAL and others have a grammar of their own.
        special = SPECIAL_FORMS.get(token.upper) if token.kind == "word" else None
        found = special(self) if special is not None else None
        return found if found is not None else self._parse_name_or_call()

    def _take_texts(self) -> list[str]:
        """Texts side by side, which are one text."""
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
        # A query in brackets is a value only with a table of its own, which no row has.
        if self.is_query(0):
            raise NeedsOtherRows("(SELECT ...) as a value needs other rows")
        # One in brackets is itself; several are a struct, of which each may have a name.
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

    def _is_lambda(self) -> bool:
        """Whether a function of several variables, (a, b) -> ..., comes next."""
        if self.next_token.upper != "(":
            return False
        # Only by looking ahead: (a, b) is a struct until an arrow follows.
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
        # FROM is no reserved word, and SELECT from FROM t has a column of that name; but SELECT
        # FROM t lacks its items.
        if token.upper == "FROM" and self.peek_token().kind in ("word", "quoted"):
            raise self.syntax_error("want an expression")
        # Spark 4 allows builtin.f(...) and system.builtin.f(...) for its own functions.
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
        # Of an aggregate: it needs other rows whatever the function is.
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
        if name == "count" and self.next_token.upper == "*" and self.peek_token().upper == ")":
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
        return FunctionCall(name, arguments, written)

    def _parse_with_unit(self, written: str) -> Expression:
        """timestampdiff(DAY, a, b) and others whose first argument is a word."""
        unit = literals.text_literal(self.take_token().text)
        self.expect(",")
        name = {"dateadd": "timestampadd", "date_add": "timestampadd"}.get(
            written.lower(), "timestampdiff" if "diff" in written.lower() else "timestampadd"
        )
        return FunctionCall(name, (unit, *self.parse_list(self.parse_expression)), written)


def _struct_of_tuple(parts: Sequence[Expression]) -> FunctionCall:
    """(a, b + 1 AS c), which is a struct: fields without a name are col1, col2, ..."""
    pairs: list[Expression] = []
    for place, part in enumerate(parts, 1):
        match part:
            case Name():
                pairs += [literals.text_literal(part.parts[-1]), part]
            case Alias():
                pairs += [literals.text_literal(part.name), part.child]
            case _:
                pairs += [literals.text_literal(f"col{place}"), part]
    return FunctionCall("named_struct", tuple(pairs), "named_struct")
