"""Tables of a saved stage: the parquet files of a folder, read as a whole or in pieces.

What is read is untrusted: sizes and names are checked before anything is read, and whatever Arrow
raises becomes InvalidModel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.files import open_regular
from hydro_runtimes.spark.format import model_size, part_files
from hydro_runtimes.spark.format.parquet import Table
from hydro_runtimes.spark.format.part_files import PartFile

Invalid: TypeAlias = Callable[[str], InvalidModel]
"""Makes the error about a stage from a message."""
MAX_ENTRIES = 100_000
"""The most entries in a folder, and the most stages in a pipeline."""
_READ_BYTES = 1 << 20
"""Bytes that are read of a column at a time, lest it is in memory as a whole while compressed."""


def read_table(
    invalid: Invalid, folder: Path, key: Sequence[str], columns: Sequence[str] | None
) -> Table:
    """All rows of the parquet files in a folder, in the order of the files' names.

    Args:
        invalid: makes an error about the stage.
        folder: that holds the files.
        key: the columns whose values differ from row to row; see `part_files.problem_of_rows`.
        columns: those to read; None means all.

    Raises:
        InvalidModel: there is no file, one is not parquet, they are too large, differ in their
            columns, or are of two saves.
    """
    listed = None if columns is None else list(columns)
    with open_part_files(invalid, folder) as (paths, files):
        tables = [file.read(columns=listed, use_threads=False) for file in files]
        table = pa.concat_tables(tables)
        names = [path.name for path in paths]
        rows = [PartFile(name, each.num_rows) for name, each in zip(names, tables, strict=True)]
        # In this order, for a user can do most about a row that two named files have. Checksums
        # come last: they read all bytes once more.
        problem = part_files.problem_of_rows(table, rows, key) or part_files.problem_of_files(
            folder, names
        )
        problem = problem or next(filter(None, map(part_files.problem_of_checksums, paths)), None)
    if problem:
        raise invalid(f"'{folder.name}' {problem}")
    return Table(invalid, folder.name, table)


def read_pieces(
    invalid: Invalid, folder: Path, columns: Sequence[str], most: int
) -> Iterator[Table]:
    """The rows of a table that `read_table` has checked, at most `most` of them at a time.

    Raises:
        InvalidModel: the files cannot be read.
    """
    with open_part_files(invalid, folder) as (_, files):
        for file in files:
            for rows in file.iter_batches(most, columns=list(columns), use_threads=False):
                yield Table(invalid, folder.name, pa.Table.from_batches([rows]))


@contextlib.contextmanager
def open_part_files(
    invalid: Invalid, folder: Path
) -> Iterator[tuple[list[Path], list[pq.ParquetFile]]]:
    """The open parquet files of a folder; what Arrow raises while they are open is InvalidModel."""
    listed = list_folder(folder)
    paths = [path for path in listed if path.suffix == ".parquet"]
    if not paths:
        found = ", ".join(path.name for path in listed[:10]) or "nothing"
        raise invalid(f"has no parquet file in '{folder.name}': found {found}")
    try:
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(open_regular(path)) for path in paths]
            # Arrow opens the files by their descriptors' numbers. Given file objects of Python, its
            # threads would call Python to read and to close them; Python 3.11 ends a thread that
            # does so while the process exits, through C++ frames, which aborts it (1 run in 100).
            files = [
                stack.enter_context(pa.OSFile(f"/dev/fd/{stream.fileno()}")) for stream in streams
            ]
            opened = [
                pq.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False) for file in files
            ]
            _check_sizes(invalid, folder, opened)
            yield paths, opened
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError, OverflowError) as error:
        raise invalid(f"'{folder.name}' cannot be read as parquet: {error}") from error


def release_memory() -> None:
    """Returns memory to the system that Arrow keeps for further tables."""
    pa.default_memory_pool().release_unused()


def _check_sizes(invalid: Invalid, folder: Path, opened: Sequence[pq.ParquetFile]) -> None:
    values = size = 0
    for file in opened:
        for index in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(index)
            size += group.total_byte_size
            values += sum(group.column(i).num_values for i in range(group.num_columns))
    if (reason := model_size.size_problem(values, size)) is not None:
        raise invalid(f"'{folder.name}' {reason}")


def list_folder(folder: Path) -> list[Path]:
    """The entries of a folder by name, without Hadoop's own (`_*`, `.*`).

    Raises:
        InvalidModel: it is not a folder, or has too many entries.
    """
    try:
        names = sorted(path for path in folder.iterdir() if path.name[0] not in "_.")
    except OSError as error:
        raise InvalidModel(folder, f"cannot be read: {error.strerror}") from error
    if len(names) > MAX_ENTRIES:
        raise InvalidModel(folder, f"has {len(names)} entries, want at most {MAX_ENTRIES}")
    return names
