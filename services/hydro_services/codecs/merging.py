"""Some rows each, as all of them: answers and columns of parts of a batch. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hydro_runtimes import joining
from hydro_runtimes.columns import Array, Column, Columns, DataType
from hydro_runtimes.evaluator import Evaluation, Field
from hydro_services.codecs import cells


def merged(parts: Sequence[tuple[Array, Evaluation]], rows: int) -> Evaluation:
    """The answer to some rows of which each part has been answered."""
    if len(parts) == 1:
        return parts[0][1]
    failures = {int(at[row]): f for at, part in parts for row, f in part.failures.items()}
    answered = np.delete(np.arange(rows), sorted(failures))
    outputs: dict[str, Column] = {}
    present: dict[str, Array] = {}
    for name in dict.fromkeys(name for _, part in parts for name in part.outputs):
        having = [(at, part) for at, part in parts if name in part.outputs]
        places = np.concatenate([_places(name, at, part) for at, part in having])
        if not len(places) and len(answered):
            continue
        column = _joined([part.outputs[name] for _, part in having])
        if np.any(places[1:] < places[:-1]):  # parts one after the other are in order as they are
            order = np.argsort(places)
            column, places = column.take(order), places[order]
        outputs[name] = column
        if len(places) < len(answered):
            present[name] = np.searchsorted(answered, places)
    return Evaluation(outputs, failures, present)


def _places(name: str, rows: Array, part: Evaluation) -> Array:
    """Those of the rows that have an output."""
    well = np.delete(rows, sorted(part.failures))
    return well[part.present[name]] if name in part.present else well


def _joined(parts: Sequence[Column]) -> Column:
    """The rows of all parts; as JSON where a model gave the parts different types."""
    try:
        return joining.concat(parts)
    except ValueError:
        listed = [value for part in parts for value in cells.values(part)]
        return cells.column(listed, Field("", DataType.JSON, nullable=True))


def columns(parts: Sequence[tuple[Array, Columns]], rows: int) -> Columns:
    """The columns of some rows each as those of all rows."""
    found = merged([(at, Evaluation(part, present=part.present)) for at, part in parts], rows)
    return Columns(found.outputs, rows, found.present)
