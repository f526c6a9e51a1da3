"""The example of a deployment: rows of a file, as what a model was fitted on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hydro_runtimes.evaluator import Signature
from hydro_services.errors import InvalidArgument

MAX_ROWS = 10_000
"""Rows that are read of a file, for their types."""
SENT_ROWS = 100
"""Of these, that are sent through the pipeline."""
Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """Rows of a file; a JSON file has them as they are sent, others as a data frame."""

    file: Path
    records: Sequence[Row] | None
    frame: Any = None

    @property
    def rows(self) -> list[Row]:
        """The first of them, as they are sent."""
        if self.records is not None:
            return [*self.records[:SENT_ROWS]]
        from hydro_models import schema

        some = self.frame.iloc[:SENT_ROWS]
        rows: list[Row] = schema.describe(some).encode(some)
        return rows

    def of_model(self, model: Any) -> tuple[Any, list[str] | None]:
        """As the model was fitted: a data frame, a matrix or a list of texts.

        Returns:
            This, and the names of its columns where it has none itself.

        Raises:
            InvalidArgument: its columns are not the model's.
        """
        records = self.records
        frame = self.frame if records is None else _pandas().DataFrame.from_records(records)
        columns = [*map(str, frame.columns)]
        if names := feature_names(model):
            if lacking := [name for name in names if name not in frame.columns]:
                message = f"lacks the model's column {lacking[0]!r}, has {', '.join(columns)}"
                raise InvalidArgument(f"{self.file}: {message}")
            return frame[names], None
        count = feature_count(model)
        if not count:
            return (frame.iloc[:, 0].tolist(), columns) if len(columns) == 1 else (frame, None)
        if len(columns) != count:
            message = f"has {len(columns)} columns, the model was fitted on {count}"
            raise InvalidArgument(f"{self.file}: {message}; give these alone, in their order")
        return frame.to_numpy(), columns


def feature_names(model: Any) -> list[str]:
    """Of the data frame that a model was fitted on, as scikit-learn and others tell them."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:  # CatBoost's, which are numbers where it was fitted on an array
        names = getattr(model, "feature_names_", None) or ()
        names = [name for name in names if not str(name).isdecimal()]
    return list(names)


def feature_count(model: Any) -> int:
    """How many columns a model was fitted on; 0 where it does not tell."""
    names = getattr(model, "feature_names_", None) or ()
    return int(getattr(model, "n_features_in_", 0) or len(names))


def fit_rows(rows: Sequence[Row], signature: Signature) -> Sequence[Row]:
    """The rows of a model whose one input is a vector: it has their columns, where they fill it."""
    wanted = [field for field in signature.inputs if not field.optional]
    if len(wanted) != 1 or len(wanted[0].shape) != 1:
        return rows
    (field,) = wanted
    fits = all(field.name not in row and len(row) == field.shape[0] for row in rows)
    is_number = field.type.dtype.kind in "biuf"
    return [{field.name: [*row.values()]} for row in rows] if fits and is_number else rows


def read_example(file: Path) -> Example:
    """The rows of a JSON, NDJSON, CSV or Parquet file.

    Raises:
        InvalidArgument: it is none, has no rows, or its library is not installed.
    """
    read = _READERS.get(file.suffix.lower())
    if read is None:
        message = f"{file}: want rows in a file of {', '.join(_READERS)}"
        raise InvalidArgument(message)
    try:
        example = read(file)
    except OSError as error:
        reason = f"{(error.strerror or str(error)).lower()}"
        raise InvalidArgument(f"{file}: cannot be read: {reason}") from error
    except ImportError as error:
        message = f"{file}: {error.name} is not installed; {_WAY_OUT[error.name or '']}"
        raise InvalidArgument(message) from error
    except ValueError as error:
        raise InvalidArgument(f"{file}: cannot be read: {error}") from error
    if not (len(example.frame) if example.records is None else example.records):
        raise InvalidArgument(f"{file}: has no rows, want some that the model answers")
    return example


def _read_json(file: Path) -> Example:
    """An array of rows, or a row a line, whatever the file is called."""
    text = file.read_text("utf-8")
    if text.lstrip()[:1] == "[":
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in io.StringIO(text) if line.strip()]
    for at, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"row {at} is not an object, want {{column: value, ...}}")
    return Example(file, rows[:MAX_ROWS])


def _read_csv(file: Path) -> Example:
    frame = _pandas().read_csv(file, nrows=MAX_ROWS)
    if frame.columns[0] == "Unnamed: 0":  # the index, which to_csv writes unless it is told not to
        frame = frame.iloc[:, 1:]
    return Example(file, None, frame)


def _read_parquet(file: Path) -> Example:
    import pyarrow.parquet  # which says so itself, where it is missing

    with pyarrow.parquet.ParquetFile(file) as opened:
        batches = opened.iter_batches(MAX_ROWS)
        table = pyarrow.Table.from_batches([*batches][:1], opened.schema_arrow)
    _pandas()
    return Example(file, None, table.to_pandas())


def _pandas() -> Any:
    import pandas

    return pandas


_READERS: dict[str, Callable[[Path], Example]] = {
    ".json": _read_json,
    ".ndjson": _read_json,
    ".jsonl": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
_WAY_OUT = {
    "pandas": "pip install 'hydro-serving[scikit]', or give the rows as JSON",
    "pyarrow": "pip install 'hydro-serving[spark]', or give the rows as JSON or CSV",
}
