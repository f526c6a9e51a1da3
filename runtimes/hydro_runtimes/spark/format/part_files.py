"""The part files of a table: whether they are all those of one save, and no others.

Spark reads all files of a folder as one table. After two saves into one folder (one copied over the
other, or one that was interrupted), it depends on chance which rows of the two count.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from hydro_runtimes.columns import Array
from hydro_runtimes.files import open_regular

SAVE_AGAIN = "save the model again into an empty folder: model.write().overwrite().save(path)"
COPY_WHOLE = f"copy the whole folder, or {SAVE_AGAIN}"
_JOB = re.compile(r"part-(?:r-)?\d+-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""A part file's name: the number of its task, and the id of the job, which is new for each save.

Source: org.apache.spark.internal.io.HadoopMapReduceCommitProtocol.getFilename, 4.3.0.
"""
_CHECKSUMS = b"crc\0"
"""The start of a file of checksums; the number of bytes for each checksum follows.

Source: org.apache.hadoop.fs.ChecksumFileSystem, 3.4.
"""
_READ_BYTES = 1 << 20


class PartFile(NamedTuple):
    """A part file, as it was read."""

    name: str
    rows: int


def problem_of_files(folder: Path, names: Sequence[str]) -> str | None:
    """What the names in a folder show to be wrong with a save; None if nothing is.

    Args:
        folder: of the table.
        names: of its part files.
    """
    here = {path.name for path in folder.iterdir()}
    # Hadoop moves files out of _temporary when a task commits, and writes _SUCCESS when the job
    # does.
    if "_temporary" in here and "_SUCCESS" not in here:
        return f"was not saved to its end, for there is _temporary; {SAVE_AGAIN}"
    # Hadoop writes the checksums of part-x to .part-x.crc, so one alone shows what is missing.
    for name in sorted(here):
        whole = name.removeprefix(".").removesuffix(".crc")
        if name == f".{whole}.crc" and whole.startswith("part-") and whole not in here:
            return f"lacks {whole}, which {name} is of; {COPY_WHOLE}"
    # The first file of each job: reversed, so that the first name is what remains.
    first = {match[1]: name for name in reversed(names) if (match := _JOB.match(name))}
    if len(first) > 1:
        one, other = sorted(first.values())[:2]
        return f"holds part files of two saves, {one} and {other}; {SAVE_AGAIN}"
    return None


def problem_of_rows(table: pa.Table, parts: Sequence[PartFile], key: Sequence[str]) -> str | None:
    """What the rows of a table show to be wrong: a row twice, or the only row missing; else None.

    Args:
        table: all rows, those of the part files one after the other.
        parts: the part files.
        key: the columns whose values differ from row to row; a dot leads into a struct. A table
            that has none of them is one of a single row.
    """
    columns = [column for name in key if (column := find_column(table, name)) is not None]
    if not columns:
        return _problem_of_row(parts, table.num_rows)
    # The common case in NumPy; only a row that is there twice has to be named.
    if _are_unique(columns):
        return None
    # Only now, when a row is there twice, does it take a Python object for each to find it.
    seen: dict[str, int] = {}
    for row, values in enumerate(zip(*(column.to_pylist() for column in columns), strict=True)):
        text = ", ".join(map(str, values))
        if (before := seen.setdefault(text, row)) != row:
            one, other = (_part_of(parts, each) for each in (before, row))
            name = " and ".join(part.rpartition(".")[2] for part in key)
            return f"has the {name} {text[:100]} {where_twice(one, other)}"
    return None


def find_column(table: pa.Table, name: str) -> Any:
    """A column as one array, a dot leading into a struct; None where there is none.

    The data of an Imputer of s.a has a column of that whole name.
    """
    first, *rest = [name] if name in table.column_names else name.split(".")
    if first not in table.column_names:
        return None
    column = table.column(first)
    for part in rest:
        if not pa.types.is_struct(column.type) or column.type.get_field_index(part) < 0:
            return None
        column = column.flatten()[column.type.get_field_index(part)]
    # A single chunk is not copied.
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def problem_of_checksums(path: Path) -> str | None:
    """What is wrong if a part file does not match its file of checksums; None if it has none.

    Raises:
        OSError: either cannot be read.
    """
    beside = path.with_name(f".{path.name}.crc")
    if not beside.exists():
        return None
    with open_regular(beside) as stream:
        sums = stream.read()
    # Bytes 4 to 8: for how many bytes each checksum is. The checksums follow: CRC-32, big-endian.
    size = int.from_bytes(sums[4:8], "big")
    if not sums.startswith(_CHECKSUMS) or size < 1:
        return None
    with open_regular(path) as stream:
        found = np.fromiter(map(zlib.crc32, _read_blocks(stream, size)), dtype=">u4")
    if found.tobytes() == sums[8:]:
        return None
    return (
        f"{path.name} is not as it was saved: it does not match {beside.name}; copy it again, or "
        f"{SAVE_AGAIN}"
    )


def _read_blocks(stream: BinaryIO, size: int) -> Iterator[memoryview]:
    """The bytes of a file in blocks of `size`, many of which are read at once."""
    while data := memoryview(stream.read(size * max(1, _READ_BYTES // size))):
        for start in range(0, len(data), size):
            yield data[start : start + size]


def _problem_of_row(parts: Sequence[PartFile], rows: int) -> str | None:
    if not rows:
        return f"has no row, want 1; {COPY_WHOLE}"
    if rows > 1:
        return f"has {rows} rows, want 1: {where_twice(_part_of(parts, 0), _part_of(parts, 1))}"
    return None


def where_twice(one: str, other: str) -> str:
    """Says that something is in two part files, or twice in one, though it should be there once."""
    if one == other:
        return f"twice in {one}; {SAVE_AGAIN}"
    return f"both in {one} and in {other}, part files of two saves in one folder; {SAVE_AGAIN}"


def _part_of(parts: Sequence[PartFile], row: int) -> str:
    ends = np.cumsum([part.rows for part in parts])
    return parts[int(np.searchsorted(ends, row, side="right"))].name


def _are_unique(columns: Sequence[Any]) -> bool:
    if all(pa.types.is_integer(column.type) and not column.null_count for column in columns):
        return _are_unique_numbers([column.to_numpy(zero_copy_only=False) for column in columns])
    if len(columns) == 1 and pa.types.is_string(columns[0].type):
        return len(columns[0].unique()) == len(columns[0])
    rows = [repr(row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]
    return len(set(rows)) == len(rows)


def _are_unique_numbers(columns: Sequence[Array]) -> bool:
    """Whether no two rows are equal; the columns are of whole numbers.

    Three ways, the fastest first: most tables are sorted, which one comparison shows; numbers that
    lie close together, as ids do, are counted; others are sorted.
    """
    if not len(columns[0]) or _are_ascending(columns):
        return True
    place, size = np.zeros(len(columns[0]), dtype=np.int64), 1
    for column in columns:
        least = int(column.min())
        width = int(column.max()) - least + 1
        # At most 8 counters for each row, lest numbers far apart take all memory.
        if size * width > 8 * len(place) + 1024:
            # lexsort takes the most important key last.
            order = np.lexsort(columns[::-1])
            return _are_ascending([each[order] for each in columns])
        place = place * width + (column.astype(np.int64) - least)
        size *= width
    return int(np.bincount(place, minlength=1).max()) == 1


def _are_ascending(columns: Sequence[Array]) -> bool:
    """Whether each row is greater than the row before it, by the first column that differs."""
    greater = np.zeros(len(columns[0]) - 1, dtype=bool)
    # From the last column to the first: a column decides where all before it are equal.
    for column in reversed(columns):
        before, after = column[:-1], column[1:]
        greater = (after > before) | ((after == before) & greater)
    return bool(greater.all())
