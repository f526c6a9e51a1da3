"""The loader of ONNX models.

Source: onnxruntime 1.32, onnxruntime/core/session; a session may run in many threads at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hydro_models.onnx import open_session
from hydro_runtimes import fitted, model_formats, python_values
from hydro_runtimes.columns import Array, Column, Columns, Dense, Ragged, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Description, Evaluation, Evaluator, Field, Signature
from hydro_runtimes.model_folder import ModelFolder
from hydro_runtimes.onnx.columns import Feed, OutputColumn, answers_of, feeds_of
from hydro_runtimes.onnx.graph import Graph, Tensor, parse_graph
from hydro_runtimes.stated_outputs import rename_outputs


@dataclass(frozen=True, slots=True)
class OnnxEvaluator:
    """Runs the graph for rows whose inputs have one shape."""

    signature: Signature
    feeds: tuple[Feed, ...]
    answers: tuple[OutputColumn, ...]
    takes_one: bool
    """The graph takes one row at a time."""
    session: Any
    joins_inputs: ClassVar[bool] = False

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`."""
        given, failures, _ = python_values.drop_null_rows(columns, self.signature.inputs)
        if not given.rows:
            return Evaluation({}, failures)
        if groups := self._groups(given):
            answered = self._answer_groups(given, groups)
        else:
            answered = self.run(given)
        outputs = {
            answer.field.name: python_values.to_column(
                answer.field, answer.column_values(rows), given.rows
            )
            for answer, rows in zip(self.answers, answered, strict=True)
        }
        return Evaluation(outputs, failures)

    def run(self, columns: Columns) -> list[Any]:
        """The answers of each output to rows of one shape."""
        feeds = {feed.name: feed.make(columns) for feed in self.feeds}
        names = [answer.name for answer in self.answers]
        values = self.session.run(names, feeds)
        pairs = zip(self.answers, values, strict=True)
        return [answer.rows(value, columns.rows) for answer, value in pairs]

    def _groups(self, columns: Columns) -> list[Array]:
        """The rows that are run together; [] where all are."""
        if self.takes_one:
            return [] if columns.rows == 1 else list(np.arange(columns.rows).reshape(-1, 1))
        given = (columns[each.name] for feed in self.feeds for each in feed.fields)
        varying = [column for column in given if isinstance(column, Ragged)]
        if not varying:
            return []
        shapes: dict[tuple[Any, ...], list[int]] = {}
        for row in range(columns.rows):
            key = tuple(_shape_of_row(column, row) for column in varying)
            shapes.setdefault(key, []).append(row)
        return [np.array(rows) for rows in shapes.values()]

    def _answer_groups(self, columns: Columns, groups: list[Array]) -> list[list[Any]]:
        answered: list[list[Any]] = [[None] * columns.rows for _ in self.answers]
        for group in groups:
            for target, rows in zip(answered, self.run(columns.take(group)), strict=True):
                for row, value in zip(group.tolist(), rows, strict=True):
                    target[row] = value
        return answered


def describe(folder: ModelFolder) -> Description:
    """As `model_formats.Loader.describe`."""
    _, feeds, answers, _ = _read(folder)
    if fitted.is_saved(folder):
        return Description(folder.read_signature())
    return Description(_signature(feeds, answers))


def load(folder: ModelFolder) -> Evaluator:
    """As `model_formats.Loader.load`.

    Raises:
        InvalidModel: onnxruntime cannot run it, or an output has not one value for each row.
    """
    if saved := fitted.load_native(folder, "onnx"):
        return saved
    path, feeds, answers, takes_one = _read(folder)
    session = _open_session(path)
    evaluator = OnnxEvaluator(_signature(feeds, answers), feeds, answers, takes_one, session)
    _check_rows(path, evaluator)
    return evaluator


def _open_session(path: Path) -> Any:
    """A session for the graph.

    Raises:
        InvalidModel: it cannot be opened.
    """
    try:
        return open_session(path)
    except Exception as error:  # onnxruntime's own have no common class
        raise InvalidModel(path, f"onnxruntime cannot run it: {error}") from error


def _read(folder: ModelFolder) -> tuple[Path, tuple[Feed, ...], tuple[OutputColumn, ...], bool]:
    path = model_formats.by_name("onnx").only_file(folder.path)
    try:
        graph = parse_graph(path.read_bytes())
    except OSError as error:
        raise InvalidModel(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidModel(path, f"is not whole: {error}") from error
    inputs, outputs = ((), ()) if fitted.is_saved(folder) else folder.read_stated()
    feeds, answers = feeds_of(folder.path, graph, inputs), answers_of(folder.path, graph)
    if outputs:
        fields = rename_outputs(folder.path, tuple(each.field for each in answers), outputs)
        pairs = zip(answers, fields, strict=False)
        answers = tuple(replace(answer, field=field) for answer, field in pairs)
    return path, feeds, answers, _takes_one(graph)


def _signature(feeds: tuple[Feed, ...], answers: tuple[OutputColumn, ...]) -> Signature:
    inputs = tuple(each for feed in feeds for each in feed.fields)
    return Signature(inputs, tuple(answer.field for answer in answers))


def _takes_one(graph: Graph) -> bool:
    return any(
        not isinstance(value.type, Tensor) or (value.type.shape or (0,))[0] == 1
        for value in graph.inputs
    )


def _check_rows(path: Path, evaluator: OnnxEvaluator) -> None:
    """Runs two rows, then three, of zeros and empty texts: the answers have to be as many.

    Raises:
        InvalidModel: those of an output are not. What the graph itself refuses is for rows to tell.
    """
    for count in (1,) if evaluator.takes_one else (2, 3):
        rows = {each.name: _empty_column(each, count) for each in evaluator.signature.inputs}
        try:
            evaluator.run(Columns(rows, count))
        except ValueError as error:
            raise InvalidModel(path, f"{error}, want one for each row") from error
        except Exception:
            return


def _empty_column(each: Field, count: int) -> Column:
    if each.type.dtype.hasobject and not each.shape:
        return Strings(["{}" if each.type.value == "json" else ""] * count, None, each.type)
    shape = tuple(max(size, 1) for size in each.shape)
    if each.type.dtype.hasobject:
        size = int(np.prod(shape))
        offsets = np.arange(count + 1, dtype=np.int64) * size
        return Ragged(offsets, Strings([""] * (count * size)))
    return Dense(np.zeros((count, *shape), each.type.dtype))


def _shape_of_row(column: Ragged, row: int) -> tuple[int, ...]:
    begin, end = column.offsets[row], column.offsets[row + 1]
    inner = column.elements
    if not isinstance(inner, Ragged) or begin == end:
        return (int(end - begin),)
    return (int(end - begin), *_shape_of_row(inner, int(begin)))
