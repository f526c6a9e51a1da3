"""The elements of a vector column, as far as Spark keeps attributes of them.

Source: org.apache.spark.ml.attribute.{Attribute, AttributeGroup}, 4.3.0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

MAX_NAMED_ELEMENTS = 1 << 20
"""The most elements of a vector whose names are kept."""


@dataclass(frozen=True, slots=True)
class ElementAttribute:
    """The attributes of one element of a vector."""

    name: str | None = None
    values: int | None = None
    """The number of values of a nominal element; None for a numeric one."""
    nominal: tuple[str, ...] = ()
    """The names of those values, if they have any."""


def join_attributes(parts: Sequence[Sequence[ElementAttribute]]) -> Sequence[ElementAttribute]:
    """The attributes of several vectors' elements, one vector after the other."""
    ends = list(accumulate(map(len, parts)))

    def attribute(i: int) -> ElementAttribute:
        part = bisect_right(ends, i)
        return parts[part][i - ends[part]]  # a negative index: from the part's end

    return LazyAttributes(ends[-1] if ends else 0, attribute)


class LazyAttributes(Sequence[ElementAttribute]):
    """Attributes made when they are read: few pipelines read them, and some have millions."""

    def __init__(self, size: int, attribute: Callable[[int], ElementAttribute]) -> None:
        """`attribute` makes one from its index, from 0 to size - 1."""
        self._size, self._attribute = size, attribute

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> ElementAttribute: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ElementAttribute]: ...
    def __getitem__(self, index: int | slice) -> ElementAttribute | Sequence[ElementAttribute]:
        if isinstance(index, slice):
            return [self._attribute(i) for i in range(*index.indices(self._size))]
        at = index + self._size if index < 0 else index
        if not 0 <= at < self._size:
            raise IndexError(index)
        return self._attribute(at)
