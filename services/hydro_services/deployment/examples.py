"""The example of a deployment: rows of a file, as what a model was fitted on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

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

    def of_model(self, model: Any) -> Any:
        """As the model was fitted: a data frame, a matrix or a list of texts.

        Raises:
            InvalidArgument: it lacks a column of the model's.
        """
        frame = (
            self.frame if self.records is None else _pandas().DataFrame.from_records(self.records)
        )
        names = getattr(model, "feature_names_in_", None)
        if names is not None:
            if lacking := [str(name) for name in names if name not in frame.columns]:
                got = ", ".join(map(str, frame.columns))
                message = f"{self.file}: lacks the model's column {lacking[0]!r}, has {got}"
                raise InvalidArgument(message)
            return frame[list(names)]
        count = getattr(model, "n_features_in_", None)
        if count is None:
            return frame.iloc[:, 0].tolist() if frame.shape[1] == 1 else frame
        if frame.shape[1] < count:
            message = f"has {frame.shape[1]} columns, the model was fitted on {count}"
            raise InvalidArgument(f"{self.file}: {message}")
        return frame.iloc[:, :count].to_numpy()


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
    return Example(file, None, _pandas().read_csv(file, nrows=MAX_ROWS))


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
