"""Functions that look into a text of JSON: get_json_object, json_array_length, json_object_keys.

Source: org.apache.spark.sql.catalyst.expressions.jsonExpressions, 4.3.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Function,
    row_function,
)
from hydro_runtimes.spark.sql.functions.json_texts import (
    NOT_JSON,
    compact_json,
    compact_text,
    parse_json,
)
from hydro_runtimes.spark.sql.types import (
    INT,
    STRING,
    array_of,
)

_STEP = re.compile(r"\.([^.\[\]']+)|\['([^']*)'\]|\[(\d+)\]|(\[\*\]|\.\*)")


def _get_json_object(text: str, path: str) -> str | None:
    """The value at a path such as $.a.b[0], as JSON; a text has no quotes."""
    if not path.startswith("$"):
        return None
    steps, at = [], 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return None
        steps.append(match)
        at = match.end()
    value = parse_json(text)
    found = [] if value is NOT_JSON else _walk_path(value, steps)
    if not found:
        return None
    several = any(step[4] for step in steps)
    if several and len(found) > 1:
        return compact_text(found)
    one = found[0]
    if one is None:
        return None
    return (
        one
        if isinstance(one, str) and not several
        else compact_json(one)
        if several
        else compact_text(one)
    )


def _walk_path(value: Any, steps: Sequence[re.Match[str]]) -> list[Any]:
    if not steps:
        return [value]
    step, rest = steps[0], steps[1:]
    name = step[1] if step[1] is not None else step[2]
    if name is not None:
        if isinstance(value, list):
            return [x for one in value if isinstance(one, dict) for x in _walk_path(one, steps)]
        return _walk_path(value[name], rest) if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if step[3] is not None:
        return _walk_path(value[int(step[3])], rest) if int(step[3]) < len(value) else []
    return [x for one in value for x in _walk_path(one, rest)]


def _array_length(text: str) -> int | None:
    value = parse_json(text)
    return len(value) if isinstance(value, list) else None


def _object_keys(text: str) -> list[str] | None:
    value = parse_json(text)
    return list(value) if isinstance(value, dict) else None


JSON: Mapping[str, Function] = {
    "get_json_object": row_function(_get_json_object, [STRING, STRING], STRING, exact=True),
    "json_array_length": row_function(_array_length, [STRING], INT, exact=True),
    "json_object_keys": row_function(_object_keys, [STRING], array_of(STRING), exact=True),
}
"""By Spark's name."""
