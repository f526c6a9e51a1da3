"""The functions of SQL that read texts, on values of whole columns.

Source: org.apache.spark.sql.catalyst.expressions.{stringExpressions, regexpExpressions}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.regexes import compile_java
from hydro_runtimes.spark.sqlvalues import Function, Kind, Rows, Value, cast, refused


def text_function(
    compute: Callable[..., Any], gives: Kind = "string", takes: tuple[Kind, ...] = ("string",)
) -> Function:
    """A function of texts, row by row; null where an argument is.

    Args:
        compute: the answer of a row from its arguments; OverflowError fails the row.
        gives: the type of the answer.
        takes: the type of each argument; the last one is that of all others.
    """

    def call(values: list[Value], rows: Rows) -> Value:
        kinds = takes + takes[-1:] * (len(values) - len(takes))
        given = [cast(value, kind, rows) for value, kind in zip(values, kinds, strict=False)]
        null = any_null(given, rows)
        data = np.empty(rows.count, dtype=object if gives == "string" else gives)
        data[:] = "" if gives == "string" else 0
        plain = [value.data.tolist() for value in given]
        bad = np.zeros(rows.count, dtype=bool)
        for row in np.flatnonzero(~null).tolist():
            try:
                data[row] = compute(*(value[row] for value in plain))
            except OverflowError:
                bad[row] = True
        message = f"the text would have more than {_MAX_TEXT} characters"
        return refused(Value(gives, data, null), bad, rows, message, safe=False)

    return call


def any_null(values: list[Value], rows: Rows) -> Array:
    """bool, (rows,): where one of the values is null."""
    null = np.zeros(rows.count, dtype=bool)
    for value in values:
        null |= value.null
    return null


concat = text_function(lambda *texts: "".join(texts))
"""Texts of all arguments together; null where one is."""


def concat_with(values: list[Value], rows: Rows) -> Value:
    """The texts that are not null, with the first argument between them; null where that is."""
    first, *others = (cast(value, "string", rows) for value in values)
    data = np.empty(rows.count, dtype=object)
    data[:] = [
        first.data[row].join(other.data[row] for other in others if not other.null[row])
        for row in range(rows.count)
    ]
    return Value("string", data, first.null)


def like(text: str, pattern: str) -> bool:
    """LIKE with the escape character backslash."""
    return like_pattern(pattern).fullmatch(text) is not None


def like_pattern(pattern: str) -> Any:
    """The regular expression of a LIKE pattern."""
    parts, at = ["(?s)"], 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and at + 1 < len(pattern):
            at += 1
            parts.append(f"\\Q{pattern[at]}\\E")
        else:
            parts.append(
                {"%": "[\\x{0}-\\x{10FFFF}]*", "_": "[\\x{0}-\\x{10FFFF}]"}.get(
                    char, f"\\Q{char}\\E"
                )
            )
        at += 1
    return compile_java("".join(parts))


def replacing(pattern: str, replacement: str) -> Function:
    r"""regexp_replace: all matches; $1 and the like stand for groups, \ for the next character.

    Raises:
        ValueError: the pattern is none, or the replacement has a group that it lacks.
    """
    compiled, parts, at = compile_java(pattern), list[str | int](), 0
    while at < len(replacement):
        char, after = replacement[at], replacement[at + 1 : at + 2]
        if char == "\\" and after:
            parts.append(after)
        elif char == "$" and after.isdecimal() and int(after) <= compiled.groups:
            parts.append(int(after))
        elif char in "\\$":
            raise ValueError(f"the replacement '{replacement}' is not supported")
        else:
            parts.append(char)
        at += 2 if char in "\\$" else 1

    def replaced(match: Any) -> str:
        return "".join(part if isinstance(part, str) else match[part] or "" for part in parts)

    return text_function(lambda text: compiled.sub(replaced, text))


def extracting(pattern: str, group: int) -> Function:
    """regexp_extract: a group of the first match, "" where there is none.

    Raises:
        ValueError: the pattern is none, or has no such group.
    """
    compiled = compile_java(pattern)
    if not 0 <= group <= compiled.groups:
        raise ValueError(f"the pattern '{pattern}' has no group {group}")

    def extracted(text: str) -> str:
        match = compiled.search(text)
        return (match[group] or "") if match else ""

    return text_function(extracted)


def _substring(text: str, place: int, length: int = 2**31) -> str:
    """From a place counted from 1, or from the end if negative."""
    start = place - 1 if place > 0 else len(text) + place if place < 0 else 0
    return text[max(start, 0) : max(start + length, 0)]


def _position(text: str, part: str, start: int = 1) -> int:
    """From 1; 0 where it is not found."""
    return text.find(part, start - 1) + 1 if start > 0 else 0


def _pad(text: str, length: int, fill: str) -> str:
    missing = max(length - len(text), 0)
    if fill and missing > _MAX_TEXT:
        raise OverflowError
    return (fill * (missing // len(fill) + 1))[:missing] if fill else ""


def _repeated(text: str, times: int) -> str:
    if times * len(text) > _MAX_TEXT:
        raise OverflowError
    return text * times


def _translated(text: str, old: str, new: str) -> str:
    table = {ord(c): new[i] if i < len(new) else None for i, c in reversed([*enumerate(old)])}
    return text.translate(table)


_PAD: tuple[Kind, ...] = ("string", "int32", "string")
_INT: tuple[Kind, ...] = ("string", "int32")
_MAX_TEXT = 1 << 20
"""Characters that a repetition or a padding may make."""

TEXT_FUNCTIONS: Mapping[str, tuple[Function, int, int]] = {
    "concat": (concat, 0, 1000),
    "concat_ws": (concat_with, 1, 1000),
    "contains": (text_function(lambda text, part: part in text, "bool"), 2, 2),
    "endswith": (text_function(str.endswith, "bool"), 2, 2),
    "left": (text_function(lambda text, n: text[: max(n, 0)], takes=_INT), 2, 2),
    "length": (text_function(len, "int32"), 1, 1),
    "lower": (text_function(str.lower), 1, 1),
    "lpad": (
        text_function(
            lambda text, n, fill=" ": (_pad(text, n, fill) + text)[: max(n, 0)],
            takes=_PAD,
        ),
        2,
        3,
    ),
    "ltrim": (text_function(lambda text: text.lstrip(" ")), 1, 1),
    "position": (text_function(_position, "int32", ("string", "string", "int32")), 2, 3),
    "repeat": (text_function(_repeated, takes=_INT), 2, 2),
    "replace": (text_function(lambda t, old, new="": t.replace(old, new) if old else t), 2, 3),
    "reverse": (text_function(lambda text: text[::-1]), 1, 1),
    "right": (text_function(lambda text, n: text[-n:] if n > 0 else "", takes=_INT), 2, 2),
    "rpad": (
        text_function(
            lambda text, n, fill=" ": (text + _pad(text, n, fill))[: max(n, 0)],
            takes=_PAD,
        ),
        2,
        3,
    ),
    "rtrim": (text_function(lambda text: text.rstrip(" ")), 1, 1),
    "startswith": (text_function(str.startswith, "bool"), 2, 2),
    "substring": (text_function(_substring, takes=_INT), 2, 3),
    "translate": (text_function(_translated), 3, 3),
    "trim": (text_function(lambda text: text.strip(" ")), 1, 1),
    "upper": (text_function(str.upper), 1, 1),
}
"""Name to the function, and the least and most numbers of its arguments."""
