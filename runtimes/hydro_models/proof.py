"""Rows of a model's example with its answers, which show that it answers as when it was saved.

Both are JSON, so that they are data to whoever reads them. When a model is saved its answers have
to be the same to the last bit; when it is loaded, on another machine or with other versions of the
libraries, numbers may differ as rounding does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hydro_models import answers
from hydro_models.answers import Answerers, StatedOutput
from hydro_models.errors import ProofFailed
from hydro_models.schema import InputSchema
from hydro_models.wire import parse_rows, to_json

MAX_ROWS = 100
"""Of the example that are kept."""
ROUNDING = {"float64": 1e-6, "float32": 1e-3}
"""How much numbers of a type may differ, relative to the larger of both or to the row's largest."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Rows of the example, and the model's answers to them."""

    rows: Sequence[Mapping[str, Any]]
    """As clients send them."""
    answers: Mapping[str, Sequence[Any]]
    """By output, one a row, as clients get them."""

    def dumps(self) -> str:
        return json.dumps({"rows": self.rows, "answers": self.answers}, indent=1) + "\n"


def parse(text: str | bytes) -> Proof:
    """The reverse of `Proof.dumps`.

    Raises:
        ValueError: it is not what that writes.
    """
    stored = json.loads(text)
    try:
        return Proof(stored["rows"], stored["answers"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"has no rows or answers ({error!r})") from error


def answer_rows(
    schema: InputSchema, answerers: Answerers, outputs: Sequence[StatedOutput], rows: Sequence[Any]
) -> dict[str, list[Any]]:
    """The answers to JSON rows, in JSON, by way of the columns that a runtime makes of them.

    Raises:
        BadRows, WrongAnswer, Exception: as `InputSchema.build` and `answers.evaluate`.
    """
    given = schema.build(parse_rows(rows, schema.inputs))
    return encode(outputs, answer(answerers, outputs, given, len(rows)))


def answer(
    answerers: Answerers, outputs: Sequence[StatedOutput], given: Any, rows: int
) -> dict[str, Any]:
    """The values of the outputs for what the schema has built, in their types, by name."""
    values = answers.evaluate(answerers, [output.name for output in outputs], given, rows)
    return {output.name: answers.convert(output, values[output.name]) for output in outputs}


def encode(outputs: Sequence[StatedOutput], values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Values of `answer` as clients get them."""
    return {output.name: _to_json(output, values[output.name]) for output in outputs}


def check(proof: Proof, outputs: Sequence[StatedOutput], got: Mapping[str, Sequence[Any]]) -> None:
    """Compares answers with those that were kept, of the outputs that both have.

    Raises:
        ProofFailed: they differ by more than rounding.
    """
    for output in outputs:
        if output.name in proof.answers:
            rounding = ROUNDING.get(output.type, 0.0)
            compare(output.name, proof.answers[output.name], got[output.name], rounding)


def compare(name: str, want: Sequence[Any], got: Sequence[Any], rounding: float = 0.0) -> None:
    """Compares the answers of an output, in JSON.

    Raises:
        ProofFailed: they differ; the message names the row and both.
    """
    if len(want) != len(got):
        raise ProofFailed(f"output '{name}' has {len(got)} rows, want {len(want)}")
    for row, (old, new) in enumerate(zip(want, got, strict=True)):
        if not _is_same(old, new, rounding):
            raise ProofFailed(f"row {row}: '{name}' is {_short(new)}, want {_short(old)}")


def _is_same(want: Any, got: Any, rounding: float) -> bool:
    if want == got:
        return True
    if not rounding:
        return False
    old, new = _numbers(want), _numbers(got)
    if len(old) != len(new):
        return False
    largest = max((abs(value) for value in old if math.isfinite(value)), default=0.0)
    return np.allclose(old, new, rtol=rounding, atol=rounding * largest, equal_nan=True)


def _numbers(value: Any) -> list[float]:
    """All numbers in a JSON value, in order; of a sparse vector, with its zeros."""
    if isinstance(value, Mapping):
        dense = [0.0] * int(value["size"])
        for index, number in zip(value["indices"], value["values"], strict=True):
            dense[index] = float(number)
        return dense
    if isinstance(value, list):
        return [number for element in value for number in _numbers(element)]
    return [math.nan if value is None else float(value)]


def _to_json(output: StatedOutput, value: Any) -> list[Any]:
    if hasattr(value, "tocsr"):
        from hydro_models.schema import sparse_vectors

        return sparse_vectors(value)
    if output.type == "json":
        return [_load_cells(cell) for cell in value]
    encoded: list[Any] = to_json(value)
    return encoded


def _load_cells(cell: Any) -> Any:
    return [_load_cells(one) for one in cell] if isinstance(cell, list) else json.loads(cell)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
