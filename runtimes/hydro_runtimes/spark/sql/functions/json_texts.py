"""Texts of JSON and their values, as Spark's parser reads them and its generator writes them.

Source: org.apache.spark.sql.catalyst.expressions.jsonExpressions, 4.3.0;
org.apache.spark.sql.catalyst.json.{JacksonGenerator, JacksonParser}.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

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


NOT_JSON = object()
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'((?:[^'\\]|\\.)*)'")
_DECODER = json.JSONDecoder(parse_float=_Real, parse_constant=_named_number)


def first_json(text: str) -> Any:
    """The first JSON value of a text; what follows is not looked at, and texts may stand in '."""
    value = _decode_first(text)
    if value is NOT_JSON and "'" in text:
        value = _decode_first(_QUOTED.sub(_double_quotes, text))
    return value


def _decode_first(text: str) -> Any:
    try:
        return _DECODER.raw_decode(text.strip())[0]
    except (ValueError, RecursionError):
        return NOT_JSON


def _double_quotes(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    return '"' + match[1].replace("\\'", "'").replace('"', '\\"') + '"'


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
