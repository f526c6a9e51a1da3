"""Saves fitted models, and compares what is served of them with what they answer in-process."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from hydro_models.scikit import METHODS
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load
from hydro_services.codecs import json_rows
from hydro_services.runtime.scoring import score_rows

OUTPUTS = {method: name for name, method in METHODS.items()}


def load_trusted(folder: Path) -> Evaluator:
    """As a runtime does that was told to trust it."""
    return load(folder, {digest_folder(folder)})


def to_body(rows: Any, evaluator: Evaluator) -> bytes:
    """The rows as a client sends them: as pandas writes JSON, or by the names of the inputs."""
    if hasattr(rows, "to_frame"):
        rows = rows.to_frame(evaluator.signature.inputs[0].name)
    if hasattr(rows, "to_json"):
        text: str = rows.to_json(orient="records", double_precision=15)
        # pandas rounds to 15 digits: what counts is the number that is sent.
        return orjson.dumps(exact_rows(rows, json.loads(text)))
    names = [field.name for field in evaluator.signature.inputs]
    if hasattr(rows, "tocsr"):
        rows = rows.toarray()
    listed = rows.tolist() if isinstance(rows, np.ndarray) else list(rows)
    is_matrix = isinstance(rows, np.ndarray) and rows.ndim == 2 and len(names) == rows.shape[1]
    sent = [dict(zip(names, row if is_matrix else [row], strict=True)) for row in listed]
    return json.dumps(sent).encode().replace(b"NaN", b"null")


def exact_rows(frame: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with all digits of the numbers."""
    for name in frame.columns:
        if frame[name].dtype.kind == "f" and isinstance(frame[name].dtype, np.dtype):
            for row, value in zip(rows, frame[name].tolist(), strict=True):
                row[str(name)] = None if math.isnan(value) else value
    return rows


def served(evaluator: Evaluator, body: bytes) -> list[dict[str, Any]]:
    """What a client gets, as JSON."""
    answers, _ = score_rows(evaluator, json_rows.parse_array(body))
    rows: list[dict[str, Any]] = orjson.loads(json_rows.write_array(answers))
    return rows


def in_process(model: Any, rows: Any, outputs: Sequence[str]) -> list[dict[str, Any]]:
    """What the model answers, as JSON, by output."""
    answers: dict[str, list[Any]] = {}
    for method, name in OUTPUTS.items():
        parts = [o for o in outputs if o == name or o.startswith(f"{name}_")]
        if not parts:
            continue
        answer = getattr(model, method)(rows)
        for part, values in zip(
            parts, answer if isinstance(answer, tuple) else [answer], strict=True
        ):
            answers[part] = list(_rows_of(values))
    return [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]


def _rows_of(values: Any) -> Sequence[Any]:
    if isinstance(values, list) and values and hasattr(values[0], "ndim"):  # one array a target
        return [_plain([target[row] for target in values]) for row in range(len(values[0]))]
    if hasattr(values, "toarray"):
        values = values.toarray()
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    plain: Sequence[Any] = _plain(values)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def dense(value: Any) -> Any:
    """A sparse vector as a list; NaN as None."""
    if isinstance(value, Mapping) and value.get("type") == "sparse":
        listed = [0.0] * value["size"]
        for index, number in zip(value["indices"], value["values"], strict=True):
            listed[index] = dense(number)
        return listed
    if isinstance(value, list):
        return [dense(element) for element in value]
    return None if value == "NaN" else value


def take(rows: Any, part: Sequence[int]) -> Any:
    """Some rows by themselves: a slice lies otherwise in memory, and products of it round."""
    if isinstance(rows, list):
        return [rows[row] for row in part]
    return rows.iloc[[*part]] if hasattr(rows, "iloc") else rows[[*part]]


def check_served(model: Any, evaluator: Evaluator, rows: Any) -> None:
    """All rows together, and some alone, are answered as in-process, to the last bit."""
    outputs = [field.name for field in evaluator.signature.outputs]
    count = rows.shape[0] if hasattr(rows, "shape") else len(rows)
    for part in (range(count), [0], [count - 1]):
        some = take(rows, part)
        got = served(evaluator, to_body(some, evaluator))
        want = in_process(model, some, outputs)
        assert [{name: dense(row.get(name, row)) for name in outputs} for row in got] == want
