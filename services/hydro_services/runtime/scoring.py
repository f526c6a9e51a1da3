"""Rows through a model in this process, without a mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hydro_runtimes.columns import Columns
from hydro_runtimes.evaluator import Evaluator, Failure, Signature
from hydro_services import errors
from hydro_services.codecs import json_rows, naming
from hydro_services.codecs.json_rows import Row
from hydro_services.runtime import row_errors
from hydro_services.runtime.evaluation import evaluate


def score_rows(
    evaluator: Evaluator, parsed: Sequence[Row | Failure]
) -> tuple[list[Row | None], int]:
    """One answer a row, in order, and how many failed.

    A row's own columns and the model's; {"error": ...} for a row that failed; None for one that
    the model leaves out. Rows whose values do not fit into common columns, such as vectors of
    different sizes, are scored apart.
    """
    try:
        return _score_together(evaluator, parsed)
    except Exception as error:
        if len(parsed) == 1:
            text = f"the row cannot be scored: {type(error).__name__}: {error}"
            return [_failure_answer(Failure("MODEL_FAILED", text))], 1
    middle = len(parsed) // 2
    (first, failed), (second, more) = (
        score_rows(evaluator, half) for half in (parsed[:middle], parsed[middle:])
    )
    return first + second, failed + more


def _score_together(
    evaluator: Evaluator, parsed: Sequence[Row | Failure]
) -> tuple[list[Row | None], int]:
    failures = {i: row for i, row in enumerate(parsed) if isinstance(row, Failure)}
    good = [row for row in parsed if not isinstance(row, Failure)]
    signature = evaluator.signature
    columns, bad = json_rows.decode_rows(good, signature)
    failures |= _place_failures(bad, failures, len(parsed))
    (answer,) = evaluate(evaluator, [naming.select_inputs(columns, signature)])
    kept = columns.take(_live_mask(columns.rows, answer.failures)) if answer.failures else columns
    failures |= _place_failures(answer.failures, failures, len(parsed))
    answers_of_failed = {i: _failure_answer(failure) for i, failure in failures.items()}
    brought = kept.only(kept.keys() - set(signature.replaced(kept)))
    outputs = Columns(answer.outputs, kept.rows, answer.present)
    answered = json_rows.encode_rows(brought.plus(outputs))
    if signature.absent_is_null:
        _add_nulls(answered, signature)
    answers = json_rows.merge_failed(answered, answers_of_failed)
    return answers, sum(row is not None for row in answers_of_failed.values())


def _add_nulls(answered: Sequence[Row], signature: Signature) -> None:
    """Adds the inputs that a row lacks, which are null for the model."""
    names = [field.name for field in signature.inputs if not field.optional]
    for row in answered:
        if not all(name in row for name in names):
            there = {name.lower() for name in row}
            row.update({name: None for name in names if name.lower() not in there})


def _place_failures(
    found: Mapping[int, Failure], failed: Mapping[int, Failure], count: int
) -> dict[int, Failure]:
    """Failures by place among all rows, where `found` counts only those not failed before."""
    if not found:
        return {}
    places = np.flatnonzero(_live_mask(count, failed)).tolist()
    return {places[row]: failure for row, failure in found.items()}


def _live_mask(count: int, failed: Iterable[int]) -> npt.NDArray[np.bool_]:
    """bool, (count,): True where a row has not failed."""
    mask = np.ones(count, np.bool_)
    mask[list(failed)] = False
    return mask


def _failure_answer(failure: Failure) -> Row | None:
    if failure.reason == "ROW_DROPPED":
        return None
    part = failure.stage or ""  # no service is before it
    return errors.row_json(row_errors.make_status(replace(failure, stage=""), part))
