"""The answers of several groups of rows as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hydro_runtimes.columns import Array, Column, DataType, Strings
from hydro_runtimes.evaluator import Evaluation, Failure
from hydro_runtimes.joining import concat
from hydro_runtimes.spark.sql.columns import column_json


def merged(parts: Sequence[tuple[Array, Evaluation]]) -> Evaluation:
    """One answer.

    Args:
        parts: the places of each group's rows in what came in (int64), and its answer.

    Returns:
        The columns that all groups answered, in the order of the rows; where their types differ
        they are JSON.
    """
    failures: dict[int, Failure] = {}
    places: list[Array] = []
    answered: list[Evaluation] = []
    for rows, answer in parts:
        failures |= {int(rows[row]): failure for row, failure in answer.failures.items()}
        well = np.delete(rows, list(answer.failures))
        if len(well):
            places.append(well)
            answered.append(answer)
    if not answered:
        return Evaluation({}, failures)
    order = np.argsort(np.concatenate(places), kind="stable")
    names = [n for n in answered[0].outputs if all(n in one.outputs for one in answered)]
    outputs = {name: _joined([one.outputs[name] for one in answered]).take(order) for name in names}
    return Evaluation(outputs, failures)


def _joined(parts: Sequence[Column]) -> Column:
    if len({part.type for part in parts}) == 1:
        try:
            return concat(parts)
        except ValueError:
            pass  # of different forms: as JSON, too
    texts = [text for part in parts for text in column_json(part)]
    return Strings(texts, None, DataType.JSON)
