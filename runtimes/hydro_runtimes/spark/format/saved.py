"""Saved stages in Spark ML's format, in every layout since 2.0.

A stage is a folder: `metadata/part-*` holds one line of JSON, and `data/part-*.parquet` (or another
folder) its numbers. What is read is untrusted: sizes, depths and types are checked, and whatever
does not fit is InvalidModel.

Source: org.apache.spark.ml.util.{DefaultParamsReader, DefaultParamsWriter}, 4.3.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.spark.format import model_size, part_files
from hydro_runtimes.spark.format.metadata_line import read_metadata
from hydro_runtimes.spark.format.parquet import Table, shorten
from hydro_runtimes.spark.format.tables import (
    MAX_ENTRIES,
    list_folder,
    open_part_files,
    read_pieces,
    read_table,
)

MAX_DEPTH = 40
"""Folders of stages within stages."""
PIECE_ROWS = 1 << 16
"""Rows that are read at a time when a table is read in pieces."""
_PIECE_VALUES = 1 << 20
"""Numbers that are read at a time when lists are read in pieces."""
_NON_FINITE = {
    **dict.fromkeys(("Inf", "Infinity"), float("inf")),
    **dict.fromkeys(("-Inf", "-Infinity"), float("-inf")),
    "NaN": float("nan"),
}
"""Numbers by their name in params (DoubleParam: Inf) and in vectors (Java: Infinity)."""


@dataclass(frozen=True)
class Saved:
    """The folder of one saved stage, with its metadata read."""

    path: Path
    name: str
    """The class, such as org.apache.spark.ml.feature.StandardScalerModel."""
    uid: str
    version: tuple[int, ...]
    """The version of the Spark that saved it."""
    params: Mapping[str, Any]
    """The values that were set, and the saved defaults of the others."""
    metadata: Mapping[str, Any]
    """The whole object of the metadata: some classes keep more than params in it."""
    depth: int
    """How many stages this one is nested in."""

    def invalid(self, message: str) -> InvalidModel:
        """An error about this stage."""
        return InvalidModel(self.path, f"{self.name.rpartition('.')[2]} '{self.uid}': {message}")

    def param(self, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """A param of this type; the default if the file lacks it, because a later Spark added it.

        Raises:
            InvalidModel: it is of another type, or it is missing and has no default.
        """
        value = self.params.get(name, default)
        if value is None and default is None and name not in self.params:
            raise self.invalid(f"has no param '{name}'")
        # A whole number in JSON is an int of Python, and true is an int, too.
        if kind is float:
            return self._check_number(name, value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.invalid(f"param '{name}' is {shorten(value)}, want {_kind_name(kind)}")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        return str(self.param(name, str, default))

    def flag(self, name: str, default: bool | None = None) -> bool:
        return bool(self.param(name, bool, default))

    def integer(self, name: str, default: int | None = None) -> int:
        return int(self.param(name, int, default))

    def number(self, name: str, default: float | None = None) -> float:
        return float(self.param(name, float, default))

    def texts(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        values = self.param(name, list, default if default is None else list(default))
        if not all(isinstance(value, str) for value in values):
            raise self.invalid(f"param '{name}' is {shorten(values)}, want texts")
        return tuple(values)

    def numbers(self, name: str, default: Sequence[float] | None = None) -> Array:
        """A param that is a list of numbers: float64, (n,)."""
        return self.check_numbers(
            name, self.param(name, list, default if default is None else [*default])
        )

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """A param that is a list of whole numbers that fit an int."""
        values = self.param(name, list, default if default is None else [*default])
        if not all(type(value) is int and abs(value) < 2**31 for value in values):
            raise self.invalid(f"param '{name}' is {shorten(values)}, want ints")
        return list(values)

    def check_numbers(self, name: str, values: Any) -> Array:
        """A part of the param `name` that should be a list of numbers: float64, (n,)."""
        if not isinstance(values, list):
            raise self.invalid(f"param '{name}' is {shorten(values)}, want a list")
        return np.array([self._check_number(name, value) for value in values], dtype=np.float64)

    def vector(self, name: str) -> Array:
        """A param that is a vector, as JsonVectorConverter writes it: float64, (size,)."""
        value = self.param(name, dict)
        values = value.get("values")
        if not isinstance(values, list):
            raise self.invalid(f"param '{name}' is {shorten(value)}, want a vector")
        numbers = np.array([self._check_number(name, one) for one in values], dtype=np.float64)
        if value.get("type") == 1:
            return numbers
        indices, size = value.get("indices"), value.get("size")
        if (
            not isinstance(indices, list)
            or not isinstance(size, int)
            or not all(type(index) is int and 0 <= index < size for index in indices)
            or len(indices) != len(values)
            or size < 0
        ):
            raise self.invalid(f"param '{name}' is {shorten(value)}, want a vector")
        if (reason := model_size.size_problem(size)) is not None:
            raise self.invalid(f"param '{name}' {reason}")
        dense = np.zeros(size)
        dense[indices] = numbers
        return dense

    def columns(self, single: str, many: str) -> tuple[str, ...]:
        """The column names in the param `single` or in the list `many`, whichever is set.

        A param that was set counts before a default, and the list before the single name.
        """
        # Not self.params: those have defaults too, which must not beat a param that was set.
        mine = self.metadata.get("paramMap", {})
        if many in mine or (single not in mine and many in self.params):
            return self.texts(many)
        return (self.text(single),)

    def metadata_value(self, name: str, kind: type) -> Any:
        """A value of the metadata that is no param, such as numClasses.

        Raises:
            InvalidModel: it is missing, or of another type.
        """
        value = self.metadata.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.invalid(f"metadata '{name}' is {shorten(value)}, want {_kind_name(kind)}")
        return value

    def table(
        self,
        folder: str = "data",
        key: Sequence[str] = (),
        columns: Sequence[str] | None = None,
    ) -> Table:
        """All rows of the parquet files in a folder of this stage.

        Args:
            folder: that holds them.
            key: the columns whose values differ from row to row. If the table has none of them, it
                must have a single row.
            columns: those to read, all by default; a dot leads into a struct.

        Raises:
            InvalidModel: they cannot be read, or are not those of one save.
        """
        return read_table(self.invalid, self.path / folder, key, columns)

    def has_column(self, column: str, folder: str = "data") -> bool:
        """Whether a table has a column."""
        with open_part_files(self.invalid, self.path / folder) as (_, files):
            return column in files[0].schema_arrow.names

    def table_pieces(
        self, columns: Sequence[str], folder: str = "data", rows: int = PIECE_ROWS
    ) -> Iterator[Table]:
        """The rows of `table` again, with these columns, `rows` of them at a time.

        Raises:
            InvalidModel: the files cannot be read.
        """
        return read_pieces(self.invalid, self.path / folder, columns, rows)

    def float_matrix(self, name: str, size: int, place: Array, folder: str = "data") -> Array:
        """A column of lists of `size` numbers each: float32, (rows, size).

        Args:
            name: of the column.
            size: of each list.
            place: the row of the answer for each row of `table`, each once: int64, (rows,).
            folder: of the table.

        Raises:
            InvalidModel: a list has another size.
        """
        made = np.zeros((0, size), dtype=np.float32)
        first = 0
        for piece in self.table_pieces([name], folder, max(1, _PIECE_VALUES // max(size, 1))):
            offsets, values = piece.lists(name, np.float32)
            if (np.diff(offsets) != size).any():
                raise piece.invalid(f"has vectors of another size than {size}")
            # Made with the first piece, when it is known that its lists have the right size.
            if not first:
                made = np.empty((len(place), size), dtype=np.float32)
            made[place[first : first + piece.rows]] = values.reshape(-1, size)
            first += piece.rows
        if first != len(place):
            raise self.invalid(f"'{folder}' has {first} rows of '{name}', want {len(place)}")
        return made

    def open_child(self, folder: str) -> Saved:
        """The stage saved in a folder of this one."""
        return open_stage(self.path / folder, self.depth + 1)

    def open_stages(self) -> list[Saved]:
        """The stages of a pipeline, in order.

        Raises:
            InvalidModel: a stage's folder is missing, or it holds another stage than named.
        """
        uids = self.texts("stageUids")
        if len(uids) > MAX_ENTRIES:
            raise self.invalid(f"has {len(uids)} stages, want at most {MAX_ENTRIES}")
        # By index and uid: after two saves into one folder, the stage of the older save is ignored.
        folders = self._stage_folders() if uids else {}
        found = []
        for index, uid in enumerate(uids):
            folder = folders.get((index, uid))
            if folder is None:
                reason = f"has no folder for stage {index}, '{uid}'"
                raise self.invalid(f"{reason}; {part_files.COPY_WHOLE}")
            stage = open_stage(folder, self.depth + 1)
            if stage.uid != uid:
                raise self.invalid(f"stage {index} is '{stage.uid}', want '{uid}'")
            found.append(stage)
        return found

    def _stage_folders(self) -> dict[tuple[int, str], Path]:
        """The folders of stages by index and uid; after two saves an index may have two folders."""
        folders: dict[tuple[int, str], Path] = {}
        for path in list_folder(self.path / "stages"):
            if match := re.match(r"(\d{1,9})_(.*)", path.name):
                folders[int(match[1]), match[2]] = path
        return folders

    def _check_number(self, name: str, value: Any) -> float:
        if isinstance(value, str) and value in _NON_FINITE:
            return _NON_FINITE[value]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.invalid(f"param '{name}' is {shorten(value)}, want a number")
        try:
            return float(value)
        except OverflowError:
            raise self.invalid(f"param '{name}' is not a double: it is too large") from None


def open_stage(path: Path, depth: int = 0) -> Saved:
    """Reads the metadata of a saved stage.

    Raises:
        InvalidModel: there is none, it is not as Spark writes it, or stages nest too deeply.
    """
    if depth > MAX_DEPTH:
        raise InvalidModel(path, f"stages nest deeper than {MAX_DEPTH}")
    # The model's own folder may be a link of the operator's; within it, a link could lead anywhere.
    if depth and path.is_symlink():
        raise InvalidModel(path, "is a link: want the folder of a stage")
    metadata = read_metadata(path)
    name, uid = metadata.get("class"), metadata.get("uid", "")
    if not isinstance(name, str) or not isinstance(uid, str):
        raise InvalidModel(path, f"metadata has the class {shorten(name)}, want a text")
    params: dict[str, Any] = {}
    # Defaults first, so that what was set replaces them. Before 2.4 there were no saved defaults.
    for key in ("defaultParamMap", "paramMap"):
        values = metadata.get(key, {})
        if not isinstance(values, dict):
            raise InvalidModel(path, f"metadata '{key}' is {shorten(values)}, want an object")
        params |= values
    version = str(metadata.get("sparkVersion", metadata.get("version", "")))
    numbers = tuple(int(part) for part in re.findall(r"\d{1,9}", version)[:3])
    return Saved(path, name, uid, numbers, params, metadata, depth)


def _kind_name(kind: type | tuple[type, ...]) -> str:
    names = {str: "a text", bool: "a boolean", int: "an integer", list: "a list", dict: "an object"}
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(names.get(one, one.__name__) for one in kinds)
