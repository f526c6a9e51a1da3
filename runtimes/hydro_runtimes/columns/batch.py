"""Columns by name: a batch of rows."""

from __future__ import annotations

from collections.abc import Container, ItemsView, Iterator, Mapping, ValuesView
from typing import TypeAlias

from hydro_runtimes.columns.arrays import Lists
from hydro_runtimes.columns.row_selection import match_rows, row_indices
from hydro_runtimes.columns.sparse import Sparse
from hydro_runtimes.columns.types import Array, Rows

Column: TypeAlias = Lists | Sparse

_ALL_PRESENT: Mapping[str, Array] = {}


class Columns(Mapping[str, Column]):
    """Columns by name, in order, of the same rows.

    A column that only some rows have holds these alone; `present` tells which they are. Models are
    given no such column.
    """

    __slots__ = ("_columns", "present", "rows")

    def __init__(
        self,
        columns: Mapping[str, Column],
        rows: int | None = None,
        present: Mapping[str, Array] | None = None,
    ) -> None:
        """Rows need only be given where there is no column, or where not all rows have one.

        Args:
            columns: by name.
            rows: their number.
            present: by name, for columns that some rows lack: the rows (int64, ascending) that
                have it, one at least.

        Raises:
            ValueError: the columns differ in their number of rows.
        """
        self._columns = dict(columns)
        self.present: Mapping[str, Array] = _ALL_PRESENT
        if present:
            self.present = {name: present[name] for name in self._columns if name in present}
        for name, column in self._columns.items():
            if name in self.present:
                continue
            if rows is None:
                rows = column.rows
            elif column.rows != rows:
                sizes = {name: column.rows for name, column in self._columns.items()}
                raise ValueError(f"columns differ in rows: got {sizes}, want {rows} in each")
        self.rows: int = rows or 0

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    # Mapping's own go through __getitem__ for each column: 3 us a frame.
    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def values(self) -> ValuesView[Column]:
        return self._columns.values()

    def items(self) -> ItemsView[str, Column]:
        return self._columns.items()

    def take(self, rows: Rows) -> Columns:
        """Some of the rows; a column that none of them has is left out."""
        if not self.present:
            chosen = {name: column.take(rows) for name, column in self.items()}
            return Columns(chosen, None if chosen else len(row_indices(rows, self.rows)))
        indices = row_indices(rows, self.rows)
        taken: dict[str, Column] = {}
        present: dict[str, Array] = {}
        for name, column in self.items():
            if name not in self.present:
                taken[name] = column.take(indices)
                continue
            at, have = match_rows(self.present[name], indices)
            if len(have):
                taken[name] = column.take(at)
            if 0 < len(have) < len(indices):
                present[name] = have
        return Columns(taken, len(indices), present)

    def only(self, names: Container[str]) -> Columns:
        """The columns of some names, of all rows."""
        columns = {name: column for name, column in self.items() if name in names}
        return Columns(columns, self.rows, self.present)

    def plus(self, columns: Mapping[str, Column]) -> Columns:
        """These columns and the given ones, which replace those of the same name."""
        present = {name: at for name, at in self.present.items() if name not in columns}
        if isinstance(columns, Columns):
            present |= columns.present
        return Columns({**self._columns, **columns}, self.rows, present)
