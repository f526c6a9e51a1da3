"""What a .cbm file of CatBoost tells of its features and its answers. Pure: without the library.

The file is "CBM1", the size of its core, and the core, a buffer of FlatBuffers.

Source: catboost 1.2, catboost/libs/model/flatbuffers/{model,features}.fbs;
https://flatbuffers.dev/internals.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from hydro_runtimes.boosters.evaluator import (
    PREDICTION,
    PROBABILITY,
    BoosterFile,
    width_field,
)
from hydro_runtimes.boosters.features import Features, unnamed_features
from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field

START = b"CBM1"
_TREES, _INFORMATION = 1, 2
"""Fields of TModelCore, by index."""
_DIMENSION, _CATEGORIES, _NUMBERS, _TEXTS, _EMBEDDINGS = 0, 4, 5, 12, 18
"""Of TModelTrees."""
_OF_EACH_TARGET = ("MultiLogloss", "MultiCrossEntropy")
_CLASSES = {
    "Integer": DataType.INT64,
    "Float": DataType.FLOAT64,
    "Boolean": DataType.BOOL,
    "String": DataType.STRING,
}


class FeatureKind(NamedTuple):
    """The features of one kind."""

    field: int
    """Of TModelTrees."""
    place: int
    """The field with the index among all features."""
    name: int
    """The field with the name."""
    type: DataType


KINDS = (
    FeatureKind(_NUMBERS, 2, 4, DataType.FLOAT64),
    FeatureKind(_CATEGORIES, 1, 2, DataType.STRING),
    FeatureKind(_TEXTS, 1, 2, DataType.STRING),
)


def parse_file(data: bytes) -> BoosterFile:
    """The features and the outputs.

    Raises:
        ValueError, LookupError: it is not whole.
    """
    if data[:4] != START:
        raise ValueError("want a file that begins with CBM1")
    try:
        (size,) = struct.unpack_from("<I", data, 4)
        core = _Table.root(data[8 : 8 + size])
        if len(data) < 8 + size:
            raise ValueError(f"has {len(data)} bytes, want {8 + size} or more")
        trees = core.table(_TREES)
        information = {each.text(0): each.text(1) for each in core.tables(_INFORMATION)}
        dimension = trees.number(_DIMENSION)
        return BoosterFile(_read_features(trees), _read_outputs(information, dimension))
    except struct.error as error:
        raise ValueError(str(error)) from error


def _read_features(trees: _Table) -> Features:
    if any(True for _ in trees.tables(_EMBEDDINGS)):
        raise ValueError("embedding features are not supported: serve it by model.py")
    named = {
        each.number(kind.place): (each.text(kind.name), kind.type)
        for kind in KINDS
        for each in trees.tables(kind.field)
    }
    if sorted(named) != list(range(len(named))):
        raise ValueError(f"has features at {sorted(named)[:20]}")
    names = [named[at][0] or str(at) for at in range(len(named))]
    types = [named[at][1] for at in range(len(named))]
    is_plain = all(kind is DataType.FLOAT64 for kind in types)
    if is_plain and names == [str(at) for at in range(len(names))]:
        return unnamed_features(len(names))
    pairs = zip(names, types, strict=True)
    return Features(
        tuple(Field(name, kind, nullable=kind is DataType.FLOAT64) for name, kind in pairs)
    )


def _read_outputs(information: dict[str, str], dimension: int) -> tuple[Field, ...]:
    if "class_params" not in information:
        return (width_field(PREDICTION, DataType.FLOAT64, dimension),)
    classes = json.loads(information["class_params"])
    loss = json.loads(information["params"])["loss_function"]["type"]
    kind = _CLASSES[classes["class_label_type"]]
    shape = (dimension,) if loss in _OF_EACH_TARGET else (1,) if dimension > 1 else ()
    return (
        Field(PREDICTION, kind, shape),
        width_field(PROBABILITY, DataType.FLOAT64, max(dimension, 2)),
    )


class _Table:
    """A table of FlatBuffers."""

    def __init__(self, buffer: bytes, at: int) -> None:
        self._buffer = buffer
        self._at = at

    @classmethod
    def root(cls, buffer: bytes) -> _Table:
        return cls(buffer, struct.unpack_from("<I", buffer)[0])

    def _place(self, field: int) -> int | None:
        """Where a field is; None where it is left out, as it has its default."""
        vtable = self._at - self._unpack("<i", self._at)
        if 6 + 2 * field > self._unpack("<H", vtable):
            return None
        offset = self._unpack("<H", vtable + 4 + 2 * field)
        return self._at + offset if offset else None

    def _unpack(self, form: str, at: int) -> int:
        if at < 0:
            raise ValueError("has an offset before its start")
        return int(struct.unpack_from(form, self._buffer, at)[0])

    def _follow(self, at: int) -> int:
        return at + self._unpack("<I", at)

    def number(self, field: int) -> int:
        """A field of type int."""
        place = self._place(field)
        return 0 if place is None else self._unpack("<i", place)

    def text(self, field: int) -> str:
        place = self._place(field)
        if place is None:
            return ""
        at = self._follow(place)
        size = self._unpack("<I", at)
        return self._buffer[at + 4 : at + 4 + size].decode()

    def table(self, field: int) -> _Table:
        place = self._place(field)
        if place is None:
            raise ValueError(f"lacks the field {field}")
        return _Table(self._buffer, self._follow(place))

    def tables(self, field: int) -> Iterator[_Table]:
        """Those of a list; none where there is no list."""
        place = self._place(field)
        if place is None:
            return
        at = self._follow(place)
        for index in range(self._unpack("<I", at)):
            yield _Table(self._buffer, self._follow(at + 4 + 4 * index))


def is_classifier(file: Any) -> bool:
    """Whether the answers have classes."""
    return any(each.name == PROBABILITY for each in file.outputs)
