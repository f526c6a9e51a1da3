"""The answers of parts of a batch as one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hydro_runtimes.column_forms import concat_columns
from hydro_runtimes.columns import Array, Column
from hydro_runtimes.evaluator import Evaluation

AsJson = Callable[[Sequence[Column]], Column]
"""Makes one column of JSON values of the rows of several columns, whatever their types."""


def merge_answers(
    parts: Sequence[tuple[Array, Evaluation]], rows: int, as_json: AsJson
) -> Evaluation:
    """The answer to all rows.

    Args:
        parts: the places of each part's rows (int64, ascending), and its answer.
        rows: of all parts.
        as_json: for an output of which the parts have columns that cannot be joined.

    Returns:
        Each output that a part has; where rows that are answered lack it, `present` tells.
    """
    if len(parts) == 1:
        return parts[0][1]
    failures = {int(at[row]): f for at, part in parts for row, f in part.failures.items()}
    answered = np.delete(np.arange(rows), sorted(failures))
    outputs: dict[str, Column] = {}
    present: dict[str, Array] = {}
    for name in dict.fromkeys(name for _, part in parts for name in part.outputs):
        having = [(at, part) for at, part in parts if name in part.outputs]
        places = np.concatenate([_answered_places(name, at, part) for at, part in having])
        if not len(places) and len(answered):
            continue
        column = _join_columns([part.outputs[name] for _, part in having], as_json)
        if np.any(places[1:] < places[:-1]):  # parts one after the other are in order as they are
            order = np.argsort(places)
            column, places = column.take(order), places[order]
        outputs[name] = column
        if len(places) < len(answered):
            present[name] = np.searchsorted(answered, places)
    return Evaluation(outputs, failures, present)


def _answered_places(name: str, rows: Array, part: Evaluation) -> Array:
    """Those of the rows that have an output."""
    well = np.delete(rows, sorted(part.failures))
    return well[part.present[name]] if name in part.present else well


def _join_columns(parts: Sequence[Column], as_json: AsJson) -> Column:
    try:
        return concat_columns(parts)
    except ValueError:
        return as_json(parts)
