"""Evaluates several inputs as one, and finds the rows that a model fails on. Pure but for the log.

An exception of a model costs only the rows that raise it, which are found by halves. If all rows
fail, that takes twice as many evaluations as there are rows.
"""

from __future__ import annotations

import itertools
import logging
import uuid
from collections.abc import Sequence

import numpy as np

from hydro_runtimes import column_forms
from hydro_runtimes.columns import Column, Columns, Dense, DenseTooLarge, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Evaluation, Evaluator, Failure
from hydro_services.codecs import json_merging

logger = logging.getLogger(__name__)

MAX_PARTS_BYTES = 64 << 20
"""Of the answers to the rows of one input that is evaluated in parts: sparse vectors of a few bytes
can have a model answer gigabytes."""


def evaluate(evaluator: Evaluator, inputs: Sequence[Columns]) -> list[Evaluation]:
    """One answer an input; inputs that fit together are evaluated together.

    Rows that have the same columns are evaluated by themselves: what one row lacks is not null
    because another has it.
    """
    raised = Raised()
    if all(map(column_forms.have_one_form, inputs)):
        answers = _evaluate_groups(evaluator, inputs, raised)
    else:
        answers = _evaluate_by_kind(evaluator, inputs, raised)
    raised.tell()
    return answers


def _evaluate_by_kind(
    evaluator: Evaluator, inputs: Sequence[Columns], raised: Raised
) -> list[Evaluation]:
    alike = [column_forms.split_by_form(each) for each in inputs]
    remaining = iter(
        _evaluate_groups(evaluator, [part for parts in alike for _, part in parts], raised)
    )
    return [
        json_merging.merge_answers_as_json(
            [(rows, next(remaining)) for rows, _ in parts], each.rows
        )
        for each, parts in zip(inputs, alike, strict=True)
    ]


def _evaluate_groups(
    evaluator: Evaluator, inputs: Sequence[Columns], raised: Raised
) -> list[Evaluation]:
    answers: list[Evaluation] = []
    # Libraries of matrices round otherwise in batches of another size.
    joins = getattr(evaluator, "joins_inputs", True)
    for group in _group_alike(inputs) if joins else [[each] for each in inputs]:
        answers += _evaluate_together(evaluator, group, raised)
    return answers


def _group_alike(inputs: Sequence[Columns]) -> list[Sequence[Columns]]:
    """Neighbours of one form; most often there is but one input, which has nothing to fit."""
    if len(inputs) == 1:
        return [inputs]
    return [list(group) for _, group in itertools.groupby(inputs, _input_form)]


class Raised:
    """What a model raised in one evaluation: the log gets one traceback, and the number of rows."""

    def __init__(self) -> None:
        self._first: Exception | None = None
        self._id = ""
        self._rows = 0

    def failure(self, error: Exception, rows: int = 1) -> Failure:
        """The failure that the client gets."""
        if isinstance(error, DenseTooLarge):
            return Failure("TOO_LARGE", f"the model cannot take this row: {error}")
        if self._first is None:
            self._first, self._id = error, uuid.uuid4().hex[:12]
        # One traceback for all rows of a batch: they nearly always fail alike.
        self._rows += rows
        message = f"the model failed on this row: {describe_exception(error)}; log id {self._id}"
        return Failure("MODEL_FAILED", message)

    def tell(self) -> None:
        """Writes to the log if a model has raised."""
        if self._first is not None:
            extra = {"id": self._id, "rows": self._rows}
            logger.error("model raised", exc_info=self._first, extra=extra)


def describe_exception(error: BaseException) -> str:
    """An exception of a model in few words, whatever its own code makes of them."""
    try:
        return f"{type(error).__name__}: {error}"[:200]
    except BaseException:
        return type(error).__name__


def _input_form(columns: Columns) -> tuple[object, ...]:
    """Equal for inputs that can be put together without changing what the model sees."""
    return tuple(
        (name, type(c), c.type, c.shape, c.validity is None) for name, c in columns.items()
    )


def _evaluate_together(
    evaluator: Evaluator, inputs: Sequence[Columns], raised: Raised
) -> list[Evaluation]:
    if len(inputs) == 1:
        return [_evaluate_alone(evaluator, inputs[0], raised)]
    rows = [each.rows for each in inputs]
    try:
        joined = {
            name: column_forms.concat_columns([each[name] for each in inputs]) for name in inputs[0]
        }
        return _split_answer(_evaluate_checked(evaluator, Columns(joined, sum(rows))), rows)
    except Exception:
        logger.debug("batch failed, its parts are tried alone", exc_info=True)
        return [_evaluate_alone(evaluator, each, raised) for each in inputs]


def _evaluate_checked(evaluator: Evaluator, inputs: Columns) -> Evaluation:
    """The model's answer, which has as many rows as it should, and texts that are Unicode.

    Raises:
        Exception: whatever the model raises; ValueError where its answer is not right.
    """
    try:
        answer = evaluator.evaluate(inputs)
    except Exception:
        raise
    except BaseException as error:  # is the model's, and not for this process
        raise RuntimeError(f"the model raised {describe_exception(error)}") from error
    want = inputs.rows - len(answer.failures)
    got = {name: column.rows for name, column in answer.outputs.items() if column.rows != want}
    if got:
        raise ValueError(f"the model answered {got} rows, want {want}")
    if not all(0 <= row < inputs.rows for row in answer.failures):
        raise ValueError(f"the model failed rows {[*answer.failures][:5]} of {inputs.rows}")
    for column in answer.outputs.values():
        _check_text(column)
    return answer


def _check_text(column: Column) -> None:
    while isinstance(column, Ragged):
        column = column.elements
    if isinstance(column, Strings):
        column.check()


def _split_answer(answer: Evaluation, rows: Sequence[int]) -> list[Evaluation]:
    """One answer for several inputs as one for each."""
    answers: list[Evaluation] = []
    row = taken = 0
    for count in rows:
        failures = answer.failures.items()
        failed = {i - row: f for i, f in failures if row <= i < row + count} if failures else {}
        well = count - len(failed)
        mine = slice(taken, taken + well)
        outputs = {name: column.take(mine) for name, column in answer.outputs.items()}
        # Failures are numbered by the rows of the input, outputs by those that did not fail.
        answers.append(Evaluation(outputs, failed))
        row, taken = row + count, taken + well
    return answers


def _evaluate_alone(evaluator: Evaluator, inputs: Columns, raised: Raised) -> Evaluation:
    """The answer to one input; where the model raises, halves show which rows are at fault."""
    if not inputs.rows:
        return Evaluation({})
    try:
        return _evaluate_checked(evaluator, inputs)
    except Exception as error:
        return _Parts(evaluator, raised).after(error, inputs)


class _Parts:
    """The evaluation of one input in parts, until each that fails is a single row."""

    def __init__(self, evaluator: Evaluator, raised: Raised) -> None:
        self._evaluator = evaluator
        self._raised = raised
        self._bytes = 0
        """Of the answers so far."""

    def after(self, error: Exception, inputs: Columns) -> Evaluation:
        """The answer to rows that the model has raised an error for."""
        if inputs.rows == 1:
            return Evaluation({}, {0: self._raised.failure(error)})
        # By halves: one bad row among thousands costs a dozen evaluations, not thousands.
        middle = np.arange(inputs.rows) < inputs.rows // 2
        halves = [np.flatnonzero(middle), np.flatnonzero(~middle)]
        parts = [(rows, self._evaluate(inputs.take(rows))) for rows in halves]
        return json_merging.merge_answers_as_json(parts, inputs.rows)

    def _evaluate(self, inputs: Columns) -> Evaluation:
        # Many parts are many answers beside each other: what they take is bounded together.
        if self._bytes > MAX_PARTS_BYTES:
            message = f"the answers to rows before it take over {MAX_PARTS_BYTES} bytes"
            failure = Failure("TOO_LARGE", f"{message}; send fewer rows a message")
            return Evaluation({}, dict.fromkeys(range(inputs.rows), failure))
        try:
            answer = _evaluate_checked(self._evaluator, inputs)
        except Exception as error:
            return self.after(error, inputs)
        self._bytes += answer_bytes([answer])
        return answer


def answer_bytes(evaluations: Sequence[Evaluation]) -> int:
    """About how many bytes models have answered."""
    return sum(_bytes(column) for each in evaluations for column in each.outputs.values())


def _bytes(column: Column) -> int:
    match column:
        case Dense():
            return column.values.nbytes
        case Strings():
            return len(column.packed)
        case Ragged():
            return column.offsets.nbytes + _bytes(column.elements)
        case Sparse():
            return column.offsets.nbytes + column.indices.nbytes + column.values.nbytes
