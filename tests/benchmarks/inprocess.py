"""The bound without serving: the same evaluators and codecs in one loop of one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from hydro_runtimes.columns import Columns
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.load import load
from hydro_services.codecs import json_rows


class Chain:
    """Models called one after the other."""

    def __init__(self, folders: Sequence[Path], trusted: Container[str]) -> None:
        self.models: list[Evaluator] = [load(folder, trusted) for folder in folders]

    def evaluate(self, columns: Columns) -> Columns:
        """The columns with all that the models add."""
        for model in self.models:
            columns = columns.plus(model.evaluate(columns).outputs)
        return columns

    def answer(self, body: bytes) -> bytes:
        """The same from JSON to JSON."""
        return json_rows.write_array(json_rows.encode_rows(self.evaluate(self.columns(body))))

    def columns(self, body: bytes) -> Columns:
        parsed = [row for row in json_rows.parse_array(body) if isinstance(row, dict)]
        return json_rows.decode_rows(parsed, self.models[0].signature)[0]


def measure(chain: Chain, body: bytes, count: int, seconds: float) -> dict[str, float]:
    """Rows a second of a body of `count` rows, with JSON and of columns alone."""
    columns = chain.columns(body)
    return {
        "rows_per_s": count * _rate(lambda: chain.answer(body), seconds / 2),
        "columns_rows_per_s": count * _rate(lambda: chain.evaluate(columns), seconds / 2),
    }


def _rate(call: Callable[[], object], seconds: float) -> float:
    """Calls a second of CPU time."""
    calls, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        call()
        calls += 1
    return calls / spent
