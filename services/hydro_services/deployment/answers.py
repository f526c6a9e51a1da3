"""The mesh's answers beside those that the model gives in this process."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from hydro_services.errors import ModelRefused

Row: TypeAlias = Mapping[str, Any]

ROUNDING = 1e-3
"""How much numbers may differ, relative to the largest of the value: other processors and versions
of libraries add in another order, and float32 has seven digits."""


def compare_answers(name: str, got: Sequence[Row], wanted: Sequence[Row | None]) -> bool:
    """Whether the outputs of rows are the same to the last bit; else they differ as rounding does.

    Args:
        name: of the pipeline.
        got: the mesh's answers.
        wanted: of each row, the columns that matter; None for one that the model leaves out.

    Raises:
        ModelRefused: they differ; the message names the row, the column and both values.
    """
    kept = [row for row in wanted if row is not None]
    if len(got) != len(kept):
        message = f"{len(got)} rows are answered in the mesh and {len(kept)} in this process"
        raise ModelRefused(message, pipeline=name)
    is_equal = True
    for at, (answer, want) in enumerate(zip(got, kept, strict=True)):
        for column, value in want.items():
            if column in answer and answer[column] == value:
                continue
            if column not in answer or not _is_close(answer[column], value):
                here, there = _short(value), _short(answer.get(column, answer))
                message = f"row {at}: {column!r} is {there} in the mesh and {here} in this process"
                raise ModelRefused(f"{message}; compare the libraries of both", pipeline=name)
            is_equal = False
    return is_equal


def first_failure(answers: Sequence[Row]) -> str | None:
    """Why a row failed, if any did."""
    for at, answer in enumerate(answers):
        if answer.keys() == {"error"} and isinstance(answer["error"], dict):
            return f"row {at} of the example: {answer['error'].get('message')}"
    return None


def _is_close(got: Any, want: Any) -> bool:
    ours, theirs = [*_leaves(want)], [*_leaves(got)]
    numbers = [abs(leaf) for leaf in ours if isinstance(leaf, float) and math.isfinite(leaf)]
    limit = ROUNDING * max(numbers, default=0.0)
    return len(ours) == len(theirs) and all(
        mine == other or (_are_numbers(mine, other) and abs(mine - other) <= limit)
        for mine, other in zip(ours, theirs, strict=True)
    )


def _are_numbers(mine: Any, other: Any) -> bool:
    """Floats, one of which may have lost its point on the way."""
    return isinstance(mine, float) and type(other) in (float, int)


def _leaves(value: Any) -> Iterator[Any]:
    """What is in a JSON value, in order, with the names and sizes of what holds it."""
    match value:
        case dict():
            for name, inner in value.items():
                yield name
                yield from _leaves(inner)
        case list():
            yield f"[{len(value)}]"
            for inner in value:
                yield from _leaves(inner)
        case _:
            yield value


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
