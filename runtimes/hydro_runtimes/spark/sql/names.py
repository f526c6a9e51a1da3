"""The names of columns without an alias: Spark's text of the expression.

Source: org.apache.spark.sql.catalyst.util.package.toPrettySQL, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

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
from hydro_runtimes.spark.sql.types import CAST_NAMES, STRING, SqlType

_UPPER = frozenset(
    [
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "cbrt",
        "cos",
        "cosh",
        "cot",
        "csc",
        "degrees",
        "e",
        "exp",
        "expm1",
        "hypot",
        "log10",
        "log1p",
        "log2",
        "pi",
        "power",
        "radians",
        "regexp",
        "regexp_like",
        "rlike",
        "sec",
        "signum",
        "sin",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
    ]
)
"""Functions whose names Spark writes in capitals."""
_DEFAULTS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "bround": (1, ("0",)),
    "from_unixtime": (1, ("yyyy-MM-dd HH:mm:ss",)),
    "aes_decrypt": (2, ("GCM", "DEFAULT", "")),
    "aes_encrypt": (2, ("GCM", "DEFAULT", "", "")),
    "hmac": (2, ("SHA-256",)),
    "locate": (2, ("1",)),
    "lpad": (2, (" ",)),
    "mask": (1, ("X", "x", "n", "NULL")),
    "months_between": (2, ("true",)),
    "overlay": (3, ("-1",)),
    "regexp_extract": (2, ("1",)),
    "regexp_extract_all": (2, ("1",)),
    "regexp_instr": (2, ("0",)),
    "make_dt_interval": (0, ("0", "0", "0", "0.000000")),
    "make_interval": (0, ("0", "0", "0", "0", "0", "0", "0.000000")),
    "make_ym_interval": (0, ("0", "0")),
    "position": (2, ("1",)),
    "regexp_replace": (3, ("1",)),
    "replace": (2, ("",)),
    "round": (1, ("0",)),
    "rpad": (2, (" ",)),
    "sort_array": (1, ("true",)),
    "split": (2, ("-1",)),
    "str_to_map": (1, (",", ":")),
    "substr": (2, ("2147483647",)),
    "substring": (2, ("2147483647",)),
    "to_unix_timestamp": (1, ("yyyy-MM-dd HH:mm:ss",)),
    "try_aes_decrypt": (2, ("GCM", "DEFAULT", "")),
    "try_make_interval": (0, ("0", "0", "0", "0", "0", "0", "0.000000")),
    "vector_norm": (1, ("2.0",)),
    "vector_normalize": (1, ("2.0",)),
    "unix_timestamp": (1, ("yyyy-MM-dd HH:mm:ss",)),
}
"""Arguments that Spark writes even if they are omitted: how many precede them, and their texts."""
_V = "namedlambdavariable()"
_ASCENDING = (
    f"lambdafunction((IF((({_V} IS NULL) AND ({_V} IS NULL)), 0, (IF(({_V} IS NULL), 1, "
    f"(IF(({_V} IS NULL), -1, (IF(({_V} < {_V}), -1, (IF(({_V} > {_V}), 1, 0)))))))))), {_V}, {_V})"
)
"""What Spark writes for the order of array_sort without a function."""
_RENAMED: Mapping[str, str] = {"dateadd": "date_add", "random": "rand", "to_varchar": "to_char"}


def output_name(node: Expression, shown: Mapping[int, Expression] | None = None) -> str:
    """The name of an item of SELECT.

    Args:
        node: the item.
        shown: by id of a node in it, what Spark names in its place.
    """
    match node:
        case Alias():
            return node.name
        case Name():
            return node.parts[-1]
        # Spark leaves a cast out of the name of a column, and keeps it in the names of expressions.
        case Cast() if isinstance(node.child, Name):
            return node.child.parts[-1]
        case FunctionCall() if _is_cast(node) and isinstance(node.arguments[0], Name):
            return node.arguments[0].parts[-1]
    # What Spark has put in the place of a node was found while it was compiled, by the types.
    return _sql_text(_replace_nodes(node, shown) if shown else node)


def _is_cast(node: FunctionCall) -> bool:
    return node.name in CAST_NAMES and len(node.arguments) == 1


def _sql_text(node: Expression) -> str:
    match node:
        case Literal():
            return node.text
        case Name():
            return ".".join(node.parts)
        case Star():
            return "*"
        case Alias():
            return f"{_sql_text(node.child)} AS {node.name}"
        case Cast() if node.type.is_nested:
            return _sql_text(node.child)
        case Cast():
            name = "TRY_CAST" if node.safe else "CAST"
            return f"{name}({_sql_text(node.child)} AS {_type_text(node.type)})"
        case Operation():
            return _operation_text(node)
        case Case():
            whens = "".join(f" WHEN {_sql_text(a)} THEN {_sql_text(b)}" for a, b in node.branches)
            otherwise = f" ELSE {_sql_text(node.otherwise)}" if node.otherwise is not None else ""
            return f"CASE{whens}{otherwise} END"
        case In():
            return f"({_sql_text(node.child)} IN ({', '.join(map(_sql_text, node.options))}))"
        case Like():
            return _like_text(node)
        case Quantified():
            return _quantified_text(node)
        case Lambda():
            variables = "".join(", namedlambdavariable()" for _ in node.names)
            return f"lambdafunction({_lambda_text(node)}{variables})"
        case Element():
            return f"{_sql_text(node.child)}[{_sql_text(node.key)}]"
        case FieldOf():
            return f"{_sql_text(node.child)}.{node.name}"
        case FunctionCall():
            return _call_text(node)


def _type_text(kind: SqlType) -> str:
    return str(kind).upper().replace(":", ": ") if kind.name == "struct" else str(kind).upper()


def _operation_text(node: Operation) -> str:
    sides = [_sql_text(side) for side in node.sides]
    match node.operator:
        case "NOT":
            return f"(NOT {sides[0]})"
        case "negate":
            return f"(- {sides[0]})"
        case "positive":
            return f"(+ {sides[0]})"
        case "~":
            return f"~{sides[0]}"
        case "||":
            return f"concat({', '.join(_concat_sides(node))})"
    text = f"{sides[0]} {node.operator.removesuffix(' interval')} {sides[1]}"
    return text if node.operator.endswith(" interval") else f"({text})"


def _concat_sides(node: Expression) -> list[str]:
    """The parts of a || b || c, which Spark makes one concat."""
    if isinstance(node, Operation) and node.operator == "||":
        return [*_concat_sides(node.sides[0]), _sql_text(node.sides[1])]
    return [_sql_text(node)]


def _like_text(node: Like) -> str:
    child, pattern = _sql_text(node.child), _sql_text(node.pattern)
    if node.operator == "LIKE":
        escape = f" ESCAPE '{node.escape}'" if node.escape != "\\" else ""
        return f"{child} LIKE {pattern}{escape}"
    return f"{'RLIKE' if node.operator == 'RLIKE' else 'ilike'}({child}, {pattern})"


def _quantified_text(node: Quantified) -> str:
    """LIKE ANY and LIKE ALL; Spark omits patterns if all are literals."""
    first = node.tests[0]
    negated = isinstance(first, Operation)
    likes = [test.sides[0] if isinstance(test, Operation) else test for test in node.tests]
    if all(
        isinstance(one, Like) and isinstance(one.pattern, Literal) and one.pattern.type == STRING
        for one in likes
    ):
        name = f"{'not' if negated else ''}like{'any' if node.operator == 'OR' else 'all'}"
        like = likes[0]
        child = _sql_text(like.child) if isinstance(like, Like) else ""
        is_lower = isinstance(like, Like) and like.operator == "ILIKE"
        return f"{name}({f'lower({child})' if is_lower else child})"
    text = _sql_text(node.tests[0])
    for test in node.tests[1:]:
        text = f"({text} {node.operator} {_sql_text(test)})"
    return text


def _lambda_text(node: Lambda) -> str:
    names = {name.lower() for name in node.names}

    def text_of(inner: Expression) -> str:
        return _sql_text(_without_variables(inner, names))

    return text_of(node.body)


def _without_variables(node: Expression, names: set[str]) -> Expression:
    """The body of a lambda function, with the name that Spark writes for all variables."""
    if isinstance(node, Name) and node.parts[0].lower() in names:
        # Spark writes no names of variables, and not even which is which.
        variable = "namedlambdavariable()"
        return Name((variable, *node.parts[1:]))
    return _rebuild_node(node, lambda inner: _without_variables(inner, names))


def _replace_nodes(node: Expression, shown: Mapping[int, Expression]) -> Expression:
    return _rebuild_node(shown.get(id(node), node), lambda inner: _replace_nodes(inner, shown))


def _rebuild_node(node: Expression, child: Callable[[Expression], Expression]) -> Expression:
    def rebuild_value(value: object) -> object:
        if isinstance(value, Expression):
            return child(value)
        if isinstance(value, tuple):
            return tuple(rebuild_value(one) for one in value)
        return value

    changed: dict[str, Any] = {
        one.name: rebuild_value(getattr(node, one.name)) for one in fields(node)
    }
    made: Expression = replace(node, **changed)
    return made


def _null_test(node: FunctionCall) -> str:
    return "IS UNKNOWN" if node.written == "IS UNKNOWN" else "IS NULL"


def _call_text(node: FunctionCall) -> str:
    name, given = node.name, [_sql_text(one) for one in node.arguments]
    if _is_cast(node):
        return given[0]
    match name:
        case "when":
            otherwise = given[-1] if len(given) % 2 else None
            pairs = zip(node.arguments[::2], node.arguments[1::2], strict=False)
            return _sql_text(Case(tuple(pairs), node.arguments[-1] if otherwise else None))
        case "isnull":
            return f"({given[0]} {_null_test(node)})"
        case "isnotnull":
            return f"({given[0]} {_null_test(node).replace('IS', 'IS NOT')})"
        case "if":
            return f"(IF({', '.join(given)}))"
        case "positive":
            return f"(+ {given[0]})"
        case "extract":
            return f"extract({given[0]} FROM {given[1]})"
        case "like":
            return f"{given[0]} LIKE {given[1]}"
        case "trim from" | "ltrim from" | "rtrim from":
            side = {"t": "BOTH", "l": "LEADING", "r": "TRAILING"}[name[0]]
            return f"TRIM({side} {given[0]} FROM {given[1]})"
        case "log":
            return f"LOG({', '.join(given if len(given) == 2 else ['E()', *given])})"
        case "floor" | "ceil" if len(given) == 1:
            return f"{name.upper()}({given[0]})"
        case "to_json":
            return f"{name}({given[0]})"
        case "from_json":
            return "entries" if given[1].lower().startswith("map<") else f"{name}({given[0]})"
        case "array_sort" if len(given) == 1:
            return f"array_sort({given[0]}, {_ASCENDING})"
        case "aggregate" | "reduce" if len(given) == 3:
            given.append("lambdafunction(namedlambdavariable(), namedlambdavariable())")
    name = _RENAMED.get(name, name)
    count, defaults = _DEFAULTS.get(name, (0, ()))
    # Those of the defaults that stand for arguments which were left out, which are the last ones.
    missing = max(len(defaults) - max(len(given) - count, 0), 0)
    given += defaults[len(defaults) - missing :] if defaults else ()
    shown = name.upper() if name in _UPPER else name
    return f"{shown}({', '.join(given)})"
