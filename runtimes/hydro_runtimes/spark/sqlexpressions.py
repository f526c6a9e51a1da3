"""Expressions of SQL: from sqlglot's tree to functions of rows.

Source: org.apache.spark.sql.catalyst.expressions, 4.3.0, in ANSI mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
from sqlglot import exp

from hydro_runtimes.columns import Array
from hydro_runtimes.spark import sqlfunctions, sqltexts
from hydro_runtimes.spark.regexes import compile_java
from hydro_runtimes.spark.sqlcalls import PARTS, signature
from hydro_runtimes.spark.sqlvalues import (
    FALSE,
    TRUE,
    Function,
    Kind,
    Rows,
    Value,
    cast,
    common,
    constant,
)

Expression: TypeAlias = Callable[[Rows], Value]

_BINARY: Mapping[type[exp.Expr], Function] = {
    exp.Add: sqlfunctions.arithmetic("+"),
    exp.Sub: sqlfunctions.arithmetic("-"),
    exp.Mul: sqlfunctions.arithmetic("*"),
    exp.Div: sqlfunctions.divide,
    exp.IntDiv: sqlfunctions.divide_whole,
    exp.Mod: sqlfunctions.remainder,
    exp.EQ: sqlfunctions.compare("="),
    exp.NEQ: sqlfunctions.compare("<>"),
    exp.LT: sqlfunctions.compare("<"),
    exp.LTE: sqlfunctions.compare("<="),
    exp.GT: sqlfunctions.compare(">"),
    exp.GTE: sqlfunctions.compare(">="),
    exp.NullSafeEQ: sqlfunctions.same,
    exp.DPipe: sqltexts.concat,
}
_TYPES: Mapping[exp.DType, Kind] = {
    exp.DType.BOOLEAN: "bool",
    exp.DType.TINYINT: "int8",
    exp.DType.SMALLINT: "int16",
    exp.DType.INT: "int32",
    exp.DType.BIGINT: "int64",
    exp.DType.FLOAT: "float32",
    exp.DType.DOUBLE: "float64",
    exp.DType.TEXT: "string",
    exp.DType.VARCHAR: "string",
}

_RIGHT_FIRST = (exp.Div, exp.IntDiv, exp.Mod)
_ALIKE = (
    exp.EQ,
    exp.NEQ,
    exp.LT,
    exp.LTE,
    exp.GT,
    exp.GTE,
    exp.NullSafeEQ,
    exp.In,
    exp.Between,
    exp.Case,
    exp.Coalesce,
    exp.Nullif,
    exp.Greatest,
    exp.Least,
    exp.Like,
    exp.RegexpLike,
    exp.RegexpReplace,
    exp.RegexpExtract,
)
"""What has sides of one type, or takes texts alone."""


def compile_expression(node: exp.Expr) -> Expression:
    """A function of rows for an expression.

    Raises:
        ValueError: a part of it is not known to give what Spark gives.
    """
    parts = PARTS | {"negate"} if isinstance(node, exp.Like) else PARTS
    if odd := [key for key, value in node.args.items() if value and key not in parts]:
        raise ValueError(f"'{node.sql('spark')}': {odd[0]} is not supported")
    match node:
        case exp.Paren():
            return compile_expression(node.this)
        case exp.Column():
            return _column(name_of(node))
        case exp.Literal() | exp.Boolean() | exp.Null():
            return _literal(node)
        case exp.Neg():
            return _call(sqlfunctions.negative, [node.this])
        case exp.Cast():
            return _cast(node)
        case exp.And() | exp.Or():
            return _logic(node, isinstance(node, exp.And))
        case exp.Not():
            return _not(compile_expression(node.this))
        case exp.Is():
            return _is(node)
        case exp.In():
            return _in(node)
        case exp.Between():
            low = exp.GTE(this=node.this, expression=node.args["low"])
            high = exp.LTE(this=node.this, expression=node.args["high"])
            return _logic(exp.And(this=low, expression=high), is_and=True)
        case exp.Case() | exp.If():
            return _case(node)
        case exp.Coalesce():
            return _coalesce([node.this, *node.expressions])
        case exp.Nullif():
            equal = exp.EQ(this=node.this, expression=node.expression)
            return _case(exp.If(this=equal, true=exp.Null(), false=node.this))
        case exp.Nvl2():
            null = exp.Is(this=node.this, expression=exp.Null())
            return _case(exp.If(this=null, true=node.args["false"], false=node.args["true"]))
        case exp.Like() | exp.RegexpLike():
            return _matches(node)
        case exp.RegexpReplace() | exp.RegexpExtract():
            return _rewritten(node)
        case exp.NullSafeEQ() | exp.DPipe():
            return _call(_BINARY[type(node)], [node.left, node.right])
        case exp.Binary() if type(node) in _BINARY:
            return _binary(node)
        case exp.Func():
            return _function(node)
    raise ValueError(f"'{node.sql('spark')}' is not supported")


def name_of(column: exp.Expr) -> str:
    """The name of a column, which may be qualified by the table.

    Raises:
        ValueError: it is a field of something.
    """
    if isinstance(column, exp.Column) and column.args.get("db"):
        raise ValueError(f"'{column.sql('spark')}' is a field of a struct, which is not supported")
    return str(column.name)


def numeric_columns(node: exp.Expr) -> Iterator[str]:
    """The columns that can only be numbers: beside an operator, or compared to a number."""
    for one in node.find_all(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg):
        yield from _columns_in(one)
    for one in node.find_all(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between):
        sides = [side.this if isinstance(side, exp.Neg) else side for side in _sides(one)]
        if any(isinstance(side, exp.Literal) and not side.is_string for side in sides):
            yield from _columns_in(one)


def text_columns(node: exp.Expr) -> Iterator[str]:
    """The columns that can only be texts: beside one that is no number."""
    for one in node.find_all(*_ALIKE):
        sides = [side for side in one.iter_expressions()]
        if isinstance(one, exp.Case):
            sides = [one.this, *(branch.this for branch in one.args["ifs"])] if one.this else []
        if any(isinstance(side, exp.Literal) and _is_word(side) for side in sides):
            yield from (name_of(side) for side in sides if isinstance(side, exp.Column))


def _is_word(literal: exp.Literal) -> bool:
    """A text that no number, boolean or NaN is equal to."""
    text = str(literal.this).strip().lower()
    try:
        float(text)
    except ValueError:
        return literal.is_string and text not in TRUE | FALSE
    return False


def _sides(node: exp.Expr) -> list[exp.Expr]:
    return [side for side in node.args.values() if isinstance(side, exp.Expr)]


def _columns_in(node: exp.Expr) -> Iterator[str]:
    return (name_of(side) for side in _sides(node) if isinstance(side, exp.Column))


def _call(function: Function, nodes: list[exp.Expr]) -> Expression:
    arguments = [compile_expression(node) for node in nodes]
    return lambda rows: function([argument(rows) for argument in arguments], rows)


def _binary(node: exp.Binary) -> Expression:
    """Where the side that is worked out first is null, the other is not: it may be in error.

    Source: BinaryExpression.eval and DivModLike.eval, 4.3.0.
    """
    function, order = _BINARY[type(node)], -1 if isinstance(node, _RIGHT_FIRST) else 1
    first, second = map(compile_expression, (node.left, node.right)[::order])

    def call(rows: Rows) -> Value:
        settled = first(rows)
        return function([settled, _where(second, rows, ~settled.null)][::order], rows)

    return call


def _where(expression: Expression, rows: Rows, mask: Array) -> Value:
    """The values of an expression that is only worked out for the rows of a mask; else null."""
    if mask.all():
        return expression(rows)
    value = expression(rows.take(mask))
    whole = constant(value.kind, None, rows.count)
    whole.data[mask], whole.null[mask] = value.data, value.null
    return whole


def _column(name: str) -> Expression:
    def read(rows: Rows) -> Value:
        value = rows.columns.get(name.lower())
        if value is None:
            raise ValueError(f"column '{name}' is no number, boolean or text")
        return value

    return read


def _literal(node: exp.Expr) -> Expression:
    if isinstance(node, exp.Null):
        return lambda rows: constant("null", None, rows.count)
    if isinstance(node, exp.Boolean):
        return lambda rows: constant("bool", bool(node.this), rows.count)
    text = str(node.this)
    if node.args.get("is_string"):
        return lambda rows: constant("string", text, rows.count)
    if text.isdigit() and int(text) < 2**63:
        number = int(text)
        kind: Kind = "int32" if number < 2**31 else "int64"
        return lambda rows: constant(kind, number, rows.count)
    real = float(text)
    return lambda rows: constant("float64", real, rows.count)


def _cast(node: exp.Cast) -> Expression:
    kind = _TYPES.get(node.to.this)
    if kind is None or node.to.expressions:
        raise ValueError(f"'{node.sql('spark')}': the type is not supported")
    inner, safe = compile_expression(node.this), bool(node.args.get("safe"))
    return lambda rows: cast(inner(rows), kind, rows, safe)


def _logic(node: exp.Expr, is_and: bool) -> Expression:
    """Three-valued; the right side is only worked out where the left one leaves it open."""
    sides = (compile_expression(node.this), compile_expression(node.expression))

    def call(rows: Rows) -> Value:
        left = cast(sides[0](rows), "bool", rows)
        unsettled = left.null | (left.data == is_and)
        right = cast(sides[1](rows.take(unsettled)), "bool", rows.take(unsettled))
        data, null = left.data.copy(), left.null.copy()
        settles = ~right.null & (right.data != is_and)
        data[unsettled] = np.where(settles, not is_and, is_and)
        null[unsettled] = ~settles & (right.null | left.null[unsettled])
        return Value("bool", data, null)

    return call


def _not(inner: Expression) -> Expression:
    def call(rows: Rows) -> Value:
        value = cast(inner(rows), "bool", rows)
        return Value("bool", ~value.data, value.null)

    return call


def _is(node: exp.Is) -> Expression:
    inner = compile_expression(node.this)
    if isinstance(node.expression, exp.Null):
        return lambda rows: Value("bool", inner(rows).null, np.zeros(rows.count, dtype=bool))
    if isinstance(node.expression, exp.Boolean):
        return _call(sqlfunctions.same, [node.this, node.expression])
    raise ValueError(f"'{node.sql('spark')}' is not supported")


def _in(node: exp.In) -> Expression:
    """True where one is equal, null where none is but something is null."""
    if not node.expressions or node.args.get("query"):
        raise ValueError(f"'{node.sql('spark')}': only lists of values are supported")
    arguments = [compile_expression(one) for one in [node.this, *node.expressions]]

    def call(rows: Rows) -> Value:
        values = [argument(rows) for argument in arguments]
        kind = common([value.kind for value in values])
        first, *others = (cast(value, kind, rows) for value in values)
        found, null = np.zeros(rows.count, dtype=bool), first.null.copy()
        for other in others:
            equal = sqlfunctions.compare("=")([first, other], rows)
            found |= equal.data & ~equal.null
            null |= other.null
        return Value("bool", found, null & ~found)

    return call


def _case(node: exp.Expr) -> Expression:
    """Each branch is only worked out for the rows that take it."""
    branches = node.args["ifs"] if isinstance(node, exp.Case) else [node]
    subject = node.this if isinstance(node, exp.Case) else None
    conditions = [
        branch.this if subject is None else exp.EQ(this=subject, expression=branch.this)
        for branch in branches
    ]
    tests = [compile_expression(condition) for condition in conditions]
    results = [compile_expression(branch.args["true"]) for branch in branches]
    otherwise = node.args.get("default" if isinstance(node, exp.Case) else "false")
    results.append(compile_expression(otherwise if otherwise is not None else exp.Null()))

    def call(rows: Rows) -> Value:
        chosen = np.full(rows.count, len(tests))
        for place, test in enumerate(tests):
            left = np.flatnonzero(chosen == len(tests))
            part = cast(test(rows.take(left)), "bool", rows.take(left))
            chosen[left[part.data & ~part.null]] = place
        return _picked(rows, chosen, results)

    return call


def _coalesce(nodes: list[exp.Expr]) -> Expression:
    arguments = [compile_expression(node) for node in nodes]

    def call(rows: Rows) -> Value:
        chosen = np.full(rows.count, len(arguments) - 1)
        left = np.arange(rows.count)
        for place, argument in enumerate(arguments[:-1]):
            null = argument(rows.take(left)).null
            chosen[left[~null]] = place
            left = left[null]
        return _picked(rows, chosen, arguments)

    return call


def _picked(rows: Rows, chosen: Array, results: list[Expression]) -> Value:
    """For each row the result that was chosen, in the common type of all."""
    parts = [rows.take(chosen == place) for place in range(len(results))]
    values = [result(part) for result, part in zip(results, parts, strict=True)]
    kind = common([value.kind for value in values])
    picked = constant(kind, None, rows.count)
    for place, (value, part) in enumerate(zip(values, parts, strict=True)):
        made, at = cast(value, kind, part), chosen == place
        picked.data[at], picked.null[at] = made.data, made.null
    return picked


def _matches(node: exp.Expr) -> Expression:
    """LIKE matches the whole text, RLIKE a part of it."""
    inner, pattern = compile_expression(node.this), node.expression
    if not isinstance(pattern, exp.Literal) or not pattern.is_string or node.args.get("flag"):
        raise ValueError(f"'{node.sql('spark')}': only a pattern that is a text is supported")
    is_like, text = isinstance(node, exp.Like), str(pattern.this)
    wanted = not node.args.get("negate")
    compiled = sqltexts.like_pattern(text) if is_like else compile_java(text)
    test = compiled.fullmatch if is_like else compiled.search

    def call(rows: Rows) -> Value:
        value = cast(inner(rows), "string", rows)
        pairs = zip(value.data, value.null, strict=True)
        found = [not null and (test(text) is not None) == wanted for text, null in pairs]
        return Value("bool", np.array(found, dtype=bool), value.null)

    return call


def _rewritten(node: exp.RegexpReplace | exp.RegexpExtract) -> Expression:
    """regexp_replace and regexp_extract, of a pattern that is known beforehand."""
    other = node.args.get("replacement") or node.args.get("group")
    texts = [node.expression] if isinstance(node, exp.RegexpExtract) else [node.expression, other]
    if not all(isinstance(text, exp.Literal) and text.is_string for text in texts):
        raise ValueError(f"'{node.sql('spark')}': only a pattern that is a text is supported")
    if isinstance(node, exp.RegexpExtract):
        group = int(str(other.this)) if isinstance(other, exp.Literal) else 1
        return _call(sqltexts.extracting(str(texts[0].this), group), [node.this])
    if node.args.get("position") or node.args.get("modifiers"):
        raise ValueError(f"'{node.sql('spark')}': only three arguments are supported")
    return _call(sqltexts.replacing(*(str(text.this) for text in texts)), [node.this])


def _function(node: exp.Func) -> Expression:
    name, arguments = signature(node)
    if name in ("isnull", "isnotnull") and len(arguments) == 1:
        test = _is(exp.Is(this=arguments[0], expression=exp.Null()))
        return test if name == "isnull" else _not(test)
    if (
        name in ("tinyint", "smallint", "int", "bigint", "float", "double", "string", "boolean")
        and len(arguments) == 1
    ):
        return _cast(exp.cast(arguments[0], name))
    found = sqlfunctions.FUNCTIONS.get(name)
    if found is None:
        raise ValueError(f"function '{name}' is not supported")
    function, least, most = found
    if not least <= len(arguments) <= most:
        raise ValueError(f"function '{name}' has {len(arguments)} arguments")
    return _call(function, arguments)
