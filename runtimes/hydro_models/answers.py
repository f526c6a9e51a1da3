"""What a model's methods give, as outputs: one value a row, checked, of a declared type.

prediction = predict, probability = predict_proba; others are named as the method.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hydro_models.column_kinds import object_array
from hydro_models.errors import WrongAnswer
from hydro_models.missing_values import is_missing
from hydro_models.wire import FLOATS, INTEGERS, NUMBERS, to_json


@dataclass(frozen=True, slots=True)
class Answerer:
    """A method that gives one output, or several at once."""

    call: Callable[[Any], Any]
    """Of what the schema builds. Gives an array (rows, ...), a sparse matrix, a DataFrame, a Series
    or a list of values; a list of arrays (rows, n), one a target; or a tuple of any of these."""
    parts: tuple[str, ...] = ()
    """The names of the outputs of a tuple; else NAME, NAME_1, NAME_2, ..."""
    labels: Callable[[], Sequence[Any]] = tuple
    """The classes that the elements of a vector belong to, if they belong to any."""


Answerers = Mapping[str, Answerer]
"""By the name of the output, or of the first."""


@dataclass(frozen=True, slots=True)
class StatedOutput:
    """An output as metadata.json states it."""

    name: str
    type: str
    shape: tuple[int, ...] = ()
    nullable: bool = False
    nominal: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    replaces: bool = False

    def entry(self) -> dict[str, Any]:
        """Its object in metadata.json."""
        entry: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.shape:
            entry["shape"] = list(self.shape)
        for name in ("nominal", "elements"):
            if names := getattr(self, name):
                entry[name] = list(names)
        return entry | {flag: True for flag in ("nullable", "replaces") if getattr(self, flag)}


def evaluate(answerers: Answerers, wanted: Sequence[str], given: Any, rows: int) -> dict[str, Any]:
    """The values of some outputs for what the schema has built, by name.

    Returns:
        Arrays (rows, ...), sparse matrices (CSR), or lists of the rows' lists where these differ in
        length.

    Raises:
        WrongAnswer: an answer does not have one value for each row, or lacks an output.
        Exception: what the model raises.
    """
    values: dict[str, Any] = {}
    for name in dict.fromkeys(_answerer_of(answerers, output) for output in wanted):
        values |= ask(name, answerers[name], given, rows)
    if lacking := [name for name in wanted if name not in values]:
        raise WrongAnswer(f"the model gave no '{lacking[0]}', only {', '.join(values)}")
    return {name: values[name] for name in wanted}


def ask(name: str, answerer: Answerer, given: Any, rows: int) -> dict[str, Any]:
    """As `evaluate`: all outputs that one answerer gives."""
    return dict(_parts(name, answerer, answerer.call(given), rows))


def _answerer_of(answerers: Answerers, output: str) -> str:
    if output in answerers:
        return output
    for name, answerer in answerers.items():
        if output in answerer.parts:
            return name
    stem, _, number = output.rpartition("_")
    if number.isdecimal() and stem in answerers:
        return stem
    raise WrongAnswer(f"the model has no output '{output}', only {', '.join(answerers)}")


def has_output(answerers: Answerers, output: str) -> bool:
    """Whether a model can give an output of this name."""
    try:
        return bool(_answerer_of(answerers, output))
    except WrongAnswer:
        return False


def _parts(name: str, answerer: Answerer, answer: Any, rows: int) -> Iterator[tuple[str, Any]]:
    if not isinstance(answer, tuple):
        yield name, _by_row(name, answer, rows)
        return
    names = answerer.parts or (name, *(f"{name}_{i}" for i in range(1, len(answer))))
    for part, value in zip(names, answer, strict=True):
        yield part, _by_row(part, value, rows)


def _by_row(name: str, answer: Any, rows: int) -> Any:
    """The answer with the batch's rows along its first axis."""
    if _is_by_target(answer):
        for target in answer:
            _check_rows(name, target.shape[0], rows)
        if len({target.shape for target in answer}) == 1:
            return np.stack(answer, axis=1)
        return [list(row) for row in zip(*answer, strict=True)]
    if hasattr(answer, "iloc"):
        _check_index(name, answer, rows)
        answer = _frame_values(answer)
    if hasattr(answer, "tocsr"):
        answer = answer.tocsr()
        answer.sum_duplicates()
    elif isinstance(answer, list):
        answer = _array_of(answer)
    if not hasattr(answer, "shape") or not answer.shape:
        got = f"a {type(answer).__name__}"
        raise WrongAnswer(f"output '{name}' is {got}, want one value for each of {rows} rows")
    _check_rows(name, answer.shape[0], rows)
    return answer if hasattr(answer, "tocsr") else np.asarray(answer)


def _is_by_target(answer: Any) -> bool:
    return (
        isinstance(answer, list)
        and bool(answer)
        and all(isinstance(target, np.ndarray) and target.ndim == 2 for target in answer)
    )


def _array_of(answer: list[Any]) -> Any:
    try:
        array = np.asarray(answer)
    except ValueError:
        return object_array(answer)
    return object_array(answer) if array.dtype.kind not in "biufU" else array


def _check_rows(name: str, got: int, want: int) -> None:
    if got != want:
        raise WrongAnswer(
            f"output '{name}' has {got} rows for a batch of {want}, want one value for each row"
        )


def _check_index(name: str, answer: Any, rows: int) -> None:
    """A frame of the batch's rows, in their order: what was built has the index 0, 1, ..."""
    _check_rows(name, len(answer), rows)
    if not np.array_equal(np.asarray(answer.index), np.arange(rows)):
        raise WrongAnswer(f"output '{name}' has the rows of the batch in another order")


def _frame_values(answer: Any) -> Any:
    if hasattr(answer, "columns"):
        if answer.shape[1] and all(hasattr(dtype, "fill_value") for dtype in answer.dtypes):
            return answer.sparse.to_coo()
        kinds = {dtype for dtype in answer.dtypes}
        if len(kinds) == 1 and isinstance(dtype := kinds.pop(), np.dtype) and dtype.kind in "biuf":
            return answer.to_numpy()
        columns = [_plain(answer.iloc[:, i]) for i in range(answer.shape[1])]
        cells = np.empty(answer.shape, object)
        for i, column in enumerate(columns):
            cells[:, i] = column
        return cells
    return _plain(answer)


def _plain(series: Any) -> Any:
    is_plain = isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf"
    return series.to_numpy() if is_plain else series.astype(object).to_numpy()


def describe_output(
    name: str, value: Any, labels: Sequence[Any] = (), columns: Sequence[Any] = ()
) -> StatedOutput:
    """The output that has such values.

    Args:
        name: of the output.
        value: as `evaluate` gives it.
        labels: of the elements of a vector: the classes that it has numbers of.
        columns: the names of the elements of a vector.

    Raises:
        WrongAnswer: of a type that has no column.
    """
    if hasattr(value, "tocsr"):
        return StatedOutput(name, "float64", (value.shape[1],))
    if isinstance(value, list):
        return StatedOutput(
            name, _number_type(name, np.result_type(*value[0])), (len(value[0]), -1)
        )
    shape = value.shape[1:]
    names = tuple(map(str, columns))
    elements = names if len(set(names)) == len(names) and (len(names),) == shape else ()
    if value.dtype.kind in "biuf":
        nominal = tuple(map(str, labels)) if (len(labels),) == shape else ()
        type_ = _number_type(name, value.dtype)
        return StatedOutput(name, type_, shape, nominal=nominal, elements=elements)
    cells = value.reshape(-1).tolist()
    if all(isinstance(cell, str) or is_missing(cell) for cell in cells):
        nullable = value.dtype.kind == "O" and (bool(shape) or any(map(is_missing, cells)))
        return StatedOutput(name, "string", shape, nullable=nullable, elements=elements)
    convert(StatedOutput(name, "json", shape), value)
    return StatedOutput(name, "json", shape, elements=elements)


def convert(output: StatedOutput, value: Any) -> Any:
    """A value of `evaluate` in the declared type, ready to be a column: texts for JSON values.

    Raises:
        WrongAnswer: it is of another type or shape.
    """
    if output.type in NUMBERS:
        return _convert_numbers(output, value)
    if hasattr(value, "tocsr") or isinstance(value, list):
        raise WrongAnswer(f"output '{output.name}' holds numbers, want {output.type}")
    if output.shape != value.shape[1:]:
        raise _wrong_shape(output, value.shape[1:])
    one = _text_cell if output.type == "string" else _json_cell
    cells: list[Any] = [one(output, cell) for cell in value.reshape(-1).tolist()]
    for size in reversed(output.shape):
        cells = [cells[at : at + size] for at in range(0, len(cells), size)]
    return cells


def _convert_numbers(output: StatedOutput, value: Any) -> Any:
    want = NUMBERS[output.type]
    if isinstance(value, list):
        return [[_safe(output, part, want) for part in row] for row in value]
    return _safe(output, value, want)


def _safe(output: StatedOutput, value: Any, want: np.dtype[Any]) -> Any:
    """Never another number: an integer as a float only where the type says so from the start."""
    dtype = value.dtype
    if dtype == want:
        return value
    is_safe = dtype.kind in "biuf" and (np.can_cast(dtype, want) or _fits(value, want))
    if not is_safe:
        raise WrongAnswer(f"output '{output.name}' is of dtype {dtype}, want {output.type}")
    return value.astype(want)


def _fits(value: Any, want: np.dtype[Any]) -> bool:
    """Integers that are in the range of a type, whatever their own."""
    if hasattr(value, "tocsr"):  # sparse vectors are float64, whatever they count
        value = value.data
    if value.dtype.kind not in "iu":
        return False
    if want.kind == "f":
        return bool(np.all(np.abs(value.astype(object)) <= 2**53))
    limits = np.iinfo(want) if want.kind == "i" else None
    return limits is not None and (
        not value.size or (int(value.min()) >= limits.min and int(value.max()) <= limits.max)
    )


def _wrong_shape(output: StatedOutput, got: tuple[int, ...]) -> WrongAnswer:
    return WrongAnswer(f"output '{output.name}' has rows of shape {got}, want {output.shape}")


def _number_type(name: str, dtype: np.dtype[Any]) -> str:
    if dtype.kind == "b":
        return "bool"
    table = FLOATS if dtype.kind == "f" else INTEGERS
    found = next((type_ for type_, want in table.items() if np.can_cast(dtype, want)), None)
    if found is None and dtype.kind == "u":
        return "int64"
    if found is None:
        raise WrongAnswer(f"output '{name}' is of dtype {dtype}, want bool, int, float or text")
    return found


def _text_cell(output: StatedOutput, cell: Any) -> str | None:
    if isinstance(cell, str):
        return str(cell)
    if is_missing(cell) and output.nullable:
        return None
    raise WrongAnswer(f"output '{output.name}' holds a {type(cell).__name__}, want texts")


def _json_cell(output: StatedOutput, cell: Any) -> str:
    if hasattr(cell, "isoformat") and not is_missing(cell):
        cell = cell.isoformat()
    try:
        return json.dumps(None if is_missing(cell) else to_json(cell))
    except (TypeError, ValueError):
        got = type(cell).__name__
        raise WrongAnswer(f"output '{output.name}' holds a {got}, which JSON has not") from None
