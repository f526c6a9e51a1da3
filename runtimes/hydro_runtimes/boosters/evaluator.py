"""A booster as an evaluator: columns to features, features to the library, answers to columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hydro_runtimes import fitted, model_formats, python_values
from hydro_runtimes.boosters.features import Features, check_categories, with_stated_inputs
from hydro_runtimes.columns import Array, Column, Columns, DataType, Dense, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Description, Evaluation, Failure, Field, Signature
from hydro_runtimes.model_folder import ModelFolder
from hydro_runtimes.stated_outputs import rename_outputs

PREDICTION, PROBABILITY = "prediction", "probability"
"""The outputs of a booster; the second is that of classifiers."""


class BoosterFile(NamedTuple):
    """What a booster's file tells of it."""

    features: Features
    outputs: tuple[Field, ...]

    @property
    def signature(self) -> Signature:
        return Signature(self.features.fields, self.outputs)


@dataclass(frozen=True, slots=True)
class BoosterEvaluator:
    """Calls the library with the features of a batch."""

    signature: Signature
    features: Features
    predict: Callable[[Columns], Sequence[Any]]
    """The library's answers to rows without unknown categories, in the order of the outputs."""

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`."""
        given, failures, kept = python_values.drop_null_rows(columns, self.signature.inputs)
        given, failures = _without(given, failures, kept, self.features.find_unknown(given))
        if not given.rows:
            return Evaluation({}, failures)
        answers = self.predict(given)
        outputs = {
            each.name: python_values.to_column(each, _plain(each, answer), given.rows)
            for each, answer in zip(self.signature.outputs, answers, strict=False)
        }
        return Evaluation(outputs, failures)


def describe_booster(
    folder: ModelFolder, format: str, parse: Callable[[bytes], BoosterFile]
) -> Description:
    """The signature that the file tells, or metadata.json if hydro_models has written it.

    Raises:
        InvalidModel: as `read_booster`.
    """
    _, file = read_booster(folder, format, parse)
    return Description(folder.read_signature() if fitted.is_saved(folder) else file.signature)


def read_booster(
    folder: ModelFolder, format: str, parse: Callable[[bytes], BoosterFile]
) -> tuple[Path, BoosterFile]:
    """The one file of a booster in a folder, and what it tells, with the columns of metadata.json.

    Raises:
        InvalidModel: there are none or several, or the file is not whole.
    """
    path = model_formats.by_name(format).only_file(folder.path)
    try:
        found = parse(path.read_bytes())
    except OSError as error:
        raise InvalidModel(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidModel(path, f"is not whole: {type(error).__name__}: {error}") from error
    if fitted.is_saved(folder):
        return path, found
    inputs, outputs = folder.read_stated()
    if inputs:
        features = with_stated_inputs(folder.path, found.features, inputs)
        found = found._replace(features=features)
    if outputs:
        found = found._replace(outputs=rename_outputs(folder.path, found.outputs, outputs))
    check_categories(folder.path, found.features)
    return path, found


def make_evaluator(
    path: Path, file: BoosterFile, predict: Callable[[Columns], Sequence[Any]]
) -> BoosterEvaluator:
    """The evaluator, after it has answered a row in which all is missing.

    Raises:
        InvalidModel: the library cannot answer, or not as the file says.
    """
    evaluator = BoosterEvaluator(file.signature, file.features, predict)
    row = Columns({each.name: _empty_value(each) for each in file.features.fields}, 1)
    try:
        evaluator.evaluate(row)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidModel(path, f"does not answer a row: {reason}") from error
    return evaluator


def width_field(name: str, type: DataType, width: int) -> Field:
    """An output with one value a row, or with a vector of more."""
    return Field(name, type, (width,) if width > 1 else ())


def _empty_value(each: Field) -> Column:
    nothing = np.zeros(1, np.bool_)
    if each.type.dtype.hasobject:
        return Strings([""], nothing if each.nullable else None, each.type)
    shape = tuple(max(size, 1) for size in each.shape)
    values = np.zeros((1, *shape), each.type.dtype)
    return Dense(values, nothing if each.nullable else None)


def _without(
    columns: Columns, failures: dict[int, Failure], kept: Array, bad: Mapping[int, Failure]
) -> tuple[Columns, dict[int, Failure]]:
    if not bad:
        return columns, failures
    rest = np.delete(np.arange(columns.rows), sorted(bad))
    return columns.take(rest), failures | {int(kept[row]): bad[row] for row in bad}


def _plain(each: Field, values: Any) -> Any:
    return values.tolist() if each.type is DataType.STRING else values
