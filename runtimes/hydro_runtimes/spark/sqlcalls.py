"""Calls of functions in a parsed statement: their names in Spark and their arguments."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

_NAMES: Mapping[str, str] = {
    "power": "pow",
    "ceiling": "ceil",
    "is_nan": "isnan",
    "str_position": "position",
    "starts_with": "startswith",
    "ends_with": "endswith",
}


def signature(node: exp.Func) -> tuple[str, list[exp.Expr]]:
    """The name in Spark and the arguments of a function.

    Raises:
        ValueError: it has an argument that is not supported.
    """
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower(), list(node.expressions)
    if isinstance(node, exp.Trim):
        if node.expression is not None:
            raise ValueError(f"'{node.sql('spark')}': only blanks can be trimmed")
        position = str(node.args.get("position") or "")
        return {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(position, "trim"), [node.this]
    if isinstance(node, exp.Pad):
        given = [node.this, node.expression, node.args.get("fill_pattern")]
        return "lpad" if node.args.get("is_left") else "rpad", [one for one in given if one]
    arguments: list[exp.Expr] = []
    for key, value in node.args.items():
        if key not in _ARGUMENTS and key not in _IGNORED and value:
            raise ValueError(f"'{node.sql('spark')}': {key} is not supported")
        if key in _ARGUMENTS and value is not None:
            arguments += value if isinstance(value, list) else [value]
    name = node.sql_name().lower()
    return _NAMES.get(name, name), arguments


_ARGUMENTS = (
    "this",
    "expression",
    "expressions",
    "start",
    "length",
    "decimals",
    "replacement",
    "substr",
    "position",
    "times",
    "from_",
    "to",
)
_IGNORED = ("safe", "coalesce", "ignore_nulls", "typed", "flatten")
PARTS = frozenset(
    (
        *_ARGUMENTS,
        *_IGNORED,
        "default",
        "false",
        "fill_pattern",
        "group",
        "high",
        "ifs",
        "is_left",
        "is_string",
        "low",
        "null_if_pos_overflow",
        "table",
        "true",
    )
)
"""What the nodes of a statement may have: what else there is may change what they mean."""
