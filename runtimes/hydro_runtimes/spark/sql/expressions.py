"""The compiler of expressions: from parsed nodes to functions of rows whose types are known.

Source: org.apache.spark.sql.catalyst.analysis.{Analyzer, TypeCoercion}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from decimal import ROUND_CEILING, ROUND_FLOOR

from hydro_runtimes.spark.sql import logic, ordering, zones
from hydro_runtimes.spark.sql.binding import Function, cast_to
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions import ALIASES, FUNCTIONS, function_named
from hydro_runtimes.spark.sql.functions.arrays import arrays_zip
from hydro_runtimes.spark.sql.functions.elements import element_of
from hydro_runtimes.spark.sql.functions.higher_order import HIGHER_ORDER, bind_higher_order
from hydro_runtimes.spark.sql.functions.interval_arithmetic import (
    bind_datetime_arithmetic,
    spark_operation,
)
from hydro_runtimes.spark.sql.functions.lambda_functions import LambdaFunction
from hydro_runtimes.spark.sql.functions.number_formats import spark_to_char
from hydro_runtimes.spark.sql.functions.patterns import bind_like
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.names import output_name
from hydro_runtimes.spark.sql.resolution import Column, Scope, resolve_name
from hydro_runtimes.spark.sql.structs import get_field, make_struct, refuse_to_evaluate
from hydro_runtimes.spark.sql.syntax import (
    Alias,
    Case,
    Cast,
    Element,
    Expression,
    FieldOf,
    FunctionCall,
    In,
    Lambda,
    Like,
    Literal,
    Name,
    Operation,
    Quantified,
    Star,
)
from hydro_runtimes.spark.sql.types import (
    BINARY,
    CAST_NAMES,
    DATE,
    LONG,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
    named_type,
)
from hydro_runtimes.spark.sql.value_texts import text_of
from hydro_runtimes.spark.sql.values import Typed, constant_value

_COMPARISONS = ("=", "<", "<=", ">", ">=")
_ARITHMETIC = ("+", "-", "*", "/", "%", "div")


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles the expressions of a statement."""

    mode: Mode
    shown: dict[int, Expression] = field(default_factory=dict)
    """By id of a node, the node that Spark names in its place, such as date_add(d, 1) for d + 1.

    Only types tell, so it is filled while nodes are compiled; `output_name` reads it afterwards."""

    def output_name(self, node: Expression) -> str:
        """The name of an item of SELECT, which must have been compiled before."""
        return output_name(node, self.shown)

    def compile(self, node: Expression, scope: Scope) -> Typed:
        """Compiles an expression.

        Args:
            node: the expression.
            scope: what its names may stand for.

        Raises:
            StatementError: a name stands for nothing or for several things, types do not fit, or
                a part is not supported.
        """
        match node:
            case Literal():
                return self._compile_literal(node)
            case Name():
                if scope.aliases and isinstance(resolve_name(node.parts, scope)[0], Typed):
                    first = f"lateralAliasReference({node.parts[0]})"
                    self.shown[id(node)] = Name((first, *node.parts[1:]))
                return self._compile_name(node.parts, scope)
            case Alias():
                return self.compile(node.child, scope)
            case Cast():
                inner = self.compile(node.child, scope)
                return self._compile_cast(inner, node.type, node.safe)
            case Operation():
                return self._compile_operation(node, scope)
            case Case():
                return self._compile_case(node, scope)
            case In():
                options = [self.compile(one, scope) for one in node.options]
                return ordering.bind_in(self.compile(node.child, scope), options, self.mode)
            case Like():
                sides = [self.compile(one, scope) for one in (node.child, node.pattern)]
                return bind_like(node.operator, sides, node.escape, self.mode)
            case Quantified():
                return self.compile(_join_tests(node), scope)
            case Element():
                sides = [self.compile(one, scope) for one in (node.child, node.key)]
                if sides[0].type.name == "struct" and isinstance(node.key, Literal):
                    self.shown[id(node)] = FieldOf(node.child, str(node.key.value))
                    return get_field(sides[0], str(node.key.value), self.mode)
                return element_of(sides, self.mode)
            case FieldOf():
                return get_field(self.compile(node.child, scope), node.name, self.mode)
            case FunctionCall():
                return self._compile_call(node, scope)
            case Lambda():
                raise StatementError("a function of the form x -> ... only stands in an argument")
            case Star():
                raise StatementError("* only stands by itself in SELECT")

    def _compile_literal(self, node: Literal) -> Typed:
        kind, value = node.type, node.value
        if kind in (DATE, TIMESTAMP, TIMESTAMP_NTZ) and isinstance(value, str):
            zone = self.mode.zone if kind == TIMESTAMP else UTC
            read = zones.parse_date(value) if kind == DATE else zones.parse_timestamp(value, zone)
            if read is None:
                raise StatementError(f"{node.text} is not a {kind}")
            value = read
            text = text_of(kind, value, self.mode)
            self.shown[id(node)] = replace(node, text=f"{str(kind).upper()} '{text}'")
        return Typed(kind, lambda rows: constant_value(kind, value, rows.count), True, literal=True)

    def _compile_name(self, parts: tuple[str, ...], scope: Scope) -> Typed:
        found, fields = resolve_name(parts, scope)
        typed = found if isinstance(found, Typed) else _read_column(found)
        for name in fields:
            typed = get_field(typed, name, self.mode)
        return typed

    def _compile_cast(self, child: Typed, kind: SqlType, safe: bool = False) -> Typed:
        return cast_to(child, kind, self.mode, safe)

    def _compile_operation(self, node: Operation, scope: Scope) -> Typed:
        sides = [self.compile(side, scope) for side in node.sides]
        operator = node.operator
        try:
            if operator in ("AND", "OR"):
                return logic.and_or(operator, sides, self.mode)
            if operator == "NOT":
                return logic.logical_not(sides[0], self.mode)
            if operator == "<=>":
                return ordering.null_safe_equal(sides, self.mode)
            if operator in _COMPARISONS:
                self._show_whole(node, sides)
                return ordering.bind_comparison(operator, sides, self.mode)
            if operator in ("+", "-", "*", "/"):
                found = bind_datetime_arithmetic(operator, sides, self.mode)
                if found is not None:
                    self.shown[id(node)] = spark_operation(node, sides[0].type, sides[1].type)
                    return found
            name = "concat" if operator == "||" else operator
            return self._bind_function(FUNCTIONS[name], sides)
        except StatementError as error:
            raise StatementError(f"{output_name(node)}: {error}") from None

    def _show_whole(self, node: Operation, sides: Sequence[Typed]) -> None:
        """Names a comparison as Spark does, for which i > 2.5 is (i > 2) if i is a whole number.

        Source: DecimalPrecisionTypeCoercion.integralAndDecimalLiteral.
        """
        for place, (typed, part) in enumerate(zip(sides, node.sides, strict=True)):
            other = sides[1 - place]
            if not (isinstance(part, Literal) and typed.type.name == "decimal"):
                continue
            if node.operator == "=" or not other.type.is_whole:
                continue
            up = node.operator in ((">=", "<") if place else (">", "<="))
            rounding = ROUND_CEILING if up else ROUND_FLOOR
            whole = int(part.value.to_integral_value(rounding))
            new = Literal(LONG, whole, str(whole))
            shown = (node.sides[0], new) if place else (new, node.sides[1])
            self.shown[id(node)] = Operation(node.operator, shown)

    def _compile_case(self, node: Case, scope: Scope) -> Typed:
        tests = [self.compile(test, scope) for test, _ in node.branches]
        results = [self.compile(result, scope) for _, result in node.branches]
        otherwise = node.otherwise or Literal(VOID, None, "NULL")
        return logic.case_when(tests, [*results, self.compile(otherwise, scope)], self.mode)

    def _expand_stars(self, node: FunctionCall, scope: Scope) -> FunctionCall:
        """The call with the columns or fields that a * in it stands for, as in struct(*)."""
        if not any(isinstance(one, Star) for one in node.arguments):
            return node
        given: list[Expression] = []
        for one in node.arguments:
            given += self._names_of_star(one, scope) if isinstance(one, Star) else [one]
        self.shown[id(node)] = expanded = replace(node, arguments=tuple(given))
        return expanded

    def _names_of_star(self, star: Star, scope: Scope) -> list[Expression]:
        without = {parts[0].lower() for parts in star.without}
        prefix = star.qualifier
        if not prefix or (len(prefix) == 1 and prefix[0].lower() == (scope.table or "").lower()):
            columns = scope.columns if scope.outside is None else scope.outside.all_columns()
            return [Name((one.name,)) for one in columns if one.name.lower() not in without]
        kind = self._compile_name(prefix, scope).type
        if kind == UNKNOWN:
            return [Name(prefix)]
        if kind.name != "struct":
            raise StatementError(f"{'.'.join(prefix)}.* is of {kind}, want a struct")
        kept = [name for name in kind.names if name.lower() not in without]
        return [Alias(Name((*prefix, name)), name) for name in kept]

    def _compile_call(self, node: FunctionCall, scope: Scope) -> Typed:
        node = self._expand_stars(node, scope)
        if node.name in ("struct", "named_struct"):
            return self._compile_struct(node, scope)
        if node.name in CAST_NAMES and len(node.arguments) == 1:
            kind = named_type(node.name) or SqlType("decimal", precision=10)
            return self._compile_cast(self.compile(node.arguments[0], scope), kind)
        name = node.name
        if any(isinstance(one, Lambda) for one in node.arguments) or name in HIGHER_ORDER:
            return self._compile_higher_order(node, scope)
        if name == "when":
            return self.compile(_case_of_when(node), scope)
        function = function_named(name, node.written or name)
        self._check_count(function, node)
        given = [self.compile(one, scope) for one in node.arguments]
        try:
            if name == "arrays_zip":
                names = [_field_name(one, place, "") for place, one in enumerate(node.arguments)]
                return arrays_zip(given, names)
            if ALIASES.get(name, name) == "to_char":
                self.shown[id(node)] = spark_to_char(node, given[0].type)
            if name in ("lpad", "rpad") and len(given) == 2 and given[0].type == BINARY:
                zero = Literal(BINARY, b"\0", "X'00'")
                self.shown[id(node)] = FunctionCall(name, (*node.arguments, zero))
            return self._bind_function(function, given)
        except StatementError as error:
            raise type(error)(f"{node.written or name}(...): {error}") from None

    def _check_count(self, function: Function, node: FunctionCall) -> None:
        count = len(node.arguments)
        if function.least <= count <= function.most:
            return
        want = str(function.least)
        if function.most > function.least:
            want += f" to {function.most}" if function.most < 1000 else " or more"
        raise StatementError(f"the function '{node.written}' has {count} arguments, want {want}")

    def _bind_function(self, function: Function, given: Sequence[Typed]) -> Typed:
        if any(one.type == UNKNOWN for one in given):
            # This is so only while the statement is loaded. The columns of a batch have types, for
            # which the statement is planned again.
            return Typed(function.gives, refuse_to_evaluate)
        return function.bind(given, self.mode)

    def _compile_higher_order(self, node: FunctionCall, scope: Scope) -> Typed:
        function = HIGHER_ORDER.get({"reduce": "aggregate"}.get(node.name, node.name))
        if function is None:
            raise StatementError(f"'{node.written}' takes no function as an argument")
        given = [
            self._compile_body(one, scope) if isinstance(one, Lambda) else self.compile(one, scope)
            for one in node.arguments
        ]
        try:
            return bind_higher_order(node.name, given, self.mode)
        except StatementError as error:
            raise type(error)(f"{node.written}(...): {error}") from None

    def _compile_body(self, node: Lambda, scope: Scope) -> LambdaFunction:
        """A lambda function, which is compiled when the types of its variables are known."""

        def bind_body(kinds: Sequence[SqlType], keys: Sequence[str]) -> Typed:
            variables = [
                Column(name, key, kind, None)
                for name, key, kind in zip(node.names, keys, kinds, strict=False)
            ]
            return self.compile(node.body, replace(scope, variables=[*variables, *scope.variables]))

        return LambdaFunction(len(node.names), bind_body)

    def _compile_struct(self, node: FunctionCall, scope: Scope) -> Typed:
        if node.name == "named_struct":
            names = [_struct_field_name(one) for one in node.arguments[::2]]
            nodes: Sequence[Expression] = node.arguments[1::2]
            if len(names) != len(nodes):
                raise StatementError("named_struct(...) wants a value after each name")
        else:
            nodes = node.arguments
            names = [_field_name(one, place) for place, one in enumerate(nodes, 1)]
        return make_struct(names, [self.compile(one, scope) for one in nodes])


def _read_column(column: Column) -> Typed:
    key = column.key
    return Typed(column.type, lambda rows: rows.read_column(key))


def _struct_field_name(node: Expression) -> str:
    if not isinstance(node, Literal) or node.type != STRING:
        raise StatementError("the names in named_struct(...) are texts")
    return str(node.value)


def _case_of_when(node: FunctionCall) -> Case:
    """when(condition, value, ..., otherwise), which is CASE WHEN."""
    given = node.arguments
    otherwise = given[-1] if len(given) % 2 else None
    return Case(tuple(zip(given[::2], given[1::2], strict=False)), otherwise)


def _join_tests(node: Quantified) -> Expression:
    whole = node.tests[0]
    for test in node.tests[1:]:
        whole = Operation(node.operator, (whole, test))
    return whole


def _field_name(node: Expression, place: int, before: str = "col") -> str:
    match node:
        case Alias():
            return node.name
        case Name():
            return node.parts[-1]
        case FieldOf():
            return node.name
    return f"{before}{place}"
