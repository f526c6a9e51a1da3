"""Texts of JSON and their values, as Spark's parser reads them and its generator writes them.

Source: org.apache.spark.sql.catalyst.expressions.jsonExpressions, 4.3.0;
org.apache.spark.sql.catalyst.json.{JacksonGenerator, JacksonParser}.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

from hydro_runtimes.spark.sql import java_text

NAMED_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "+INF": math.inf, "INF": math.inf}
NAMED_NUMBERS |= {"-Infinity": -math.inf, "-INF": -math.inf}


def quote_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def parse_json(text: str) -> Any:
    """The JSON value of a text; `NOT_JSON` if it is not JSON."""
    try:
        value = json.loads(text, parse_float=_Real, parse_constant=_named_number)
    except (ValueError, RecursionError):
        return NOT_JSON
    return value


class _Real(float):
    """A number that keeps its text, from which a decimal is read exactly."""

    text: str

    def __new__(cls, text: str) -> _Real:
        made = super().__new__(cls, text)
        made.text = text
        return made


def _named_number(name: str) -> float:
    return NAMED_NUMBERS[name]


class Dialect(NamedTuple):
    """What a text may have beyond the standard's JSON. Source: JSONOptions, 4.3.0."""

    comments: bool = False
    unquoted_names: bool = False
    single_quotes: bool = True
    leading_zeros: bool = False
    named_numbers: bool = True
    any_escape: bool = False
    control_chars: bool = False


SPARK_JSON = Dialect()
NOT_JSON = object()
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'((?:[^'\\]|\\.)*)'")
_PART = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")|(?P<single>'(?:[^'\\]|\\.)*')"""
    r"|(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<name>[\w$@#*+-]+)(?=\s*:)"
    r"|(?P<infinity>[+-]?INF\b|\+Infinity\b)|(?P<number>-?\d[\w.+-]*)|(?P<other>.)",
    re.DOTALL,
)
_ZEROS = re.compile(r"^(-?)0+(?=\d)")
_ODD_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def first_json(text: str, dialect: Dialect = SPARK_JSON) -> Any:
    """The first JSON value of a text; what follows is not looked at."""
    if dialect != SPARK_JSON or "INF" in text or "+I" in text:
        text = "".join(_standard_part(part, dialect) for part in _PART.finditer(text))
    value = _decode_first(text, dialect)
    if value is NOT_JSON and "'" in text and dialect.single_quotes:
        value = _decode_first(_QUOTED.sub(_double_quotes, text), dialect)
    return value


def _standard_part(part: re.Match[str], dialect: Dialect) -> str:
    """A part of a text as the standard has it, where the dialect allows it."""
    text = part[0]
    match part.lastgroup:
        case "comment" if dialect.comments:
            return " "
        case "name" if dialect.unquoted_names:
            return quote_json(text)
        case "infinity" if dialect.named_numbers:
            return "-Infinity" if text.startswith("-") else "Infinity"
        case "number" if dialect.leading_zeros:
            return _ZEROS.sub(r"\1", text)
        case "text" | "single" if dialect.any_escape:
            return _ODD_ESCAPE.sub(lambda one: one[0] if one[1] in "\"\\/bfnrtu'" else one[1], text)
    return text


def _decode_first(text: str, dialect: Dialect) -> Any:
    def named_number(name: str) -> float:
        if not dialect.named_numbers:
            raise ValueError(name)
        return NAMED_NUMBERS[name]

    decoder = json.JSONDecoder(
        parse_float=_Real, parse_constant=named_number, strict=not dialect.control_chars
    )
    try:
        return decoder.raw_decode(text.strip())[0]
    except (ValueError, RecursionError):
        return NOT_JSON


def _double_quotes(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    return '"' + match[1].replace("\\'", "'").replace('"', '\\"') + '"'


_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^{}\[\],:"]+')


def indent_json(text: str) -> str:
    """Compact JSON as the DefaultPrettyPrinter of Jackson writes it."""
    made: list[str] = []
    around: list[str] = []
    pieces = _PIECE.findall(text)
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        line = "\n" + "  " * around.count("{")
        match piece:
            case "{" | "[":
                around.append(piece)
                inner = "\n" + "  " * around.count("{") if piece == "{" else " "
                made.append(piece + ("" if following in "}]" else inner))
            case "}" | "]":
                opened = around.pop()
                is_empty = made[-1] == opened
                line = "\n" + "  " * around.count("{")
                made.append((" " if is_empty or piece == "]" else line) + piece)
            case ",":
                made.append("," + (line if around[-1] == "{" else " "))
            case ":":
                made.append(" : ")
            case _:
                made.append(piece)
    return "".join(made)


def compact_text(value: Any) -> str:
    """The JSON of a value that is not a text, without blanks."""
    if isinstance(value, _Real):
        return java_text.double_text(repr(float(value)))
    if isinstance(value, dict):
        return f"{{{','.join(f'{quote_json(k)}:{compact_json(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(compact_json, value))}]"
    return json.dumps(value)


def compact_json(value: Any) -> str:
    return quote_json(value) if isinstance(value, str) else compact_text(value)
