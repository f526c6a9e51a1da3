"""Reads the parity cases: saved pipelines, rows, and what Spark answered."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hydro_runtimes.columns import Column, Columns, DataType, Dense, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Signature

ROOT = Path(__file__).resolve().parents[2]
_NUMBERS = {
    "double": np.float64,
    "float": np.float32,
    "int": np.int32,
    "bigint": np.int64,
    "boolean": np.bool_,
}
_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class Case:
    """A file of expected answers."""

    folder: Path
    """Of the saved model."""
    document: Mapping[str, Any]

    @property
    def classes(self) -> set[str]:
        return {stage["class"] for stage in self.document["stages"]}

    @property
    def inputs(self) -> Columns:
        """All rows, in columns of the types that the case states."""
        rows = self.document["inputs"]
        return Columns(
            {
                entry["name"]: case_column([row[entry["name"]] for row in rows], entry["type"])
                for entry in self.document["input_schema"]
            },
            len(rows),
        )

    def json_inputs(self, signature: Signature) -> Columns:
        """All rows as they come from JSON: text where the model does not tell the type."""
        rows, typed = self.document["inputs"], self.inputs
        columns: dict[str, Column] = {}
        for field in signature.inputs:
            if field.name not in typed:
                continue
            columns[field.name] = typed[field.name]
            if field.type is DataType.JSON:
                values = [row[field.name] for row in rows]
                valid = np.array([value is not None for value in values])
                texts = [json.dumps(value) for value in values]
                columns[field.name] = Strings(texts, valid, DataType.JSON)
        return Columns(columns, len(rows))

    @property
    def stated(self) -> list[dict[str, str]]:
        """The scalar inputs as metadata.json states them."""
        return [
            {"name": entry["name"], "type": np.dtype(_NUMBERS[entry["type"]]).name}
            for entry in self.document["input_schema"]
            if entry["type"] in _NUMBERS
        ]

    @property
    def error_rows(self) -> set[int]:
        return {int(row) for row in self.document["errors"]}


def shared_folder() -> Path:
    """Where the data lies that is not part of the project."""
    return Path(os.environ.get("HYDRO_SHARED", ROOT.parent / "shared"))


def load_cases(folder: Path) -> list[Case]:
    """The cases in a folder with `models` and `expected`."""
    documents = [json.loads(path.read_text()) for path in sorted((folder / "expected").glob("*"))]
    return [Case(folder / document["model"], document) for document in documents]


def case_column(values: list[Any], kind: str) -> Column:
    """A column of the type that a case names, from its JSON values."""
    present = [value is not None for value in values]
    validity = None if all(present) else np.array(present)
    if kind in _NUMBERS:
        plain = [0 if value is None else parse_number(value) for value in values]
        return Dense(np.array(plain, dtype=_NUMBERS[kind]), validity)
    if kind == "string":
        return Strings([value or "" for value in values], validity)
    if kind == "vector":
        return _vector_column(values, validity)
    inner = kind.removeprefix("array<").removesuffix(">")
    offsets = np.cumsum([0, *(len(value or ()) for value in values)], dtype=np.int64)
    elements = case_column([element for value in values for element in value or ()], inner)
    assert isinstance(elements, Dense | Strings)
    return Ragged(offsets, elements, validity)


def parse_number(value: Any) -> Any:
    return _NAMES[value] if isinstance(value, str) else value


def dense_elements(value: Mapping[str, Any]) -> list[float]:
    """The elements of a vector in a case."""
    values = [parse_number(element) for element in value["values"]]
    if value["type"] == "dense":
        return values
    dense = [0.0] * value["size"]
    for index, element in zip(value["indices"], values, strict=True):
        dense[index] = element
    return dense


def plain_values(values: Column) -> Iterator[Any]:
    """One plain Python value a row: None, number, text, list, or a sparse vector as in a case."""
    valid = values.validity if values.validity is not None else np.ones(values.rows, dtype=bool)
    if isinstance(values, Sparse):
        for row in range(values.rows):
            part = slice(*values.offsets[row : row + 2].tolist())
            indices, stored = values.indices[part].tolist(), values.values[part].tolist()
            made = {"type": "sparse", "size": values.size, "indices": indices, "values": stored}
            yield made if valid[row] else None
        return
    if isinstance(values, Ragged):
        elements = list(plain_values(values.elements))
        for row in range(values.rows):
            start, end = values.offsets[row : row + 2].tolist()
            yield elements[start:end] if valid[row] else None
        return
    plain = values.values.tolist() if isinstance(values, Dense) else values.values
    yield from (value if ok else None for value, ok in zip(plain, valid.tolist(), strict=True))


def value_agrees(got: Any, want: Any, rel: float, absolute: float) -> bool:
    """Whether a plain value is the wanted one (as a case writes it) within a tolerance."""
    if isinstance(got, dict) and isinstance(want, dict) and want["type"] == "sparse":
        return got["size"] == want["size"] and value_agrees(
            *_elements_of_both(got, want), rel, absolute
        )
    got, want = (dense_elements(one) if isinstance(one, dict) else one for one in (got, want))
    if isinstance(want, list):
        return (
            isinstance(got, list)
            and len(got) == len(want)
            and all(value_agrees(g, w, rel, absolute) for g, w in zip(got, want, strict=True))
        )
    if isinstance(got, float) and isinstance(want, str):
        want = parse_number(want) if want in _NAMES else want
    if isinstance(got, bool) or isinstance(want, bool) or not isinstance(want, int | float):
        return bool(got == want and type(got) is type(want))
    if got is None or isinstance(got, str):
        return False
    if got == want or (math.isnan(got) and math.isnan(want)):
        return True
    return bool(abs(got - want) <= max(absolute, rel * max(abs(got), abs(want))))


def _elements_of_both(
    got: Mapping[str, Any], want: Mapping[str, Any]
) -> tuple[list[float], list[float]]:
    """The elements that either of two sparse vectors stores."""
    one, other = (
        dict(zip(each["indices"], map(parse_number, each["values"]), strict=True))
        for each in (got, want)
    )
    places = sorted(one.keys() | other.keys())
    return [one.get(i, 0.0) for i in places], [other.get(i, 0.0) for i in places]


def _vector_column(values: list[Any], validity: Any) -> Column:
    """Sparse (dense rows store all) where any row is, Dense, or of any sizes."""
    given = [value for value in values if value is not None]
    sizes = {len(dense_elements(value)) for value in given}
    size = sizes.pop() if len(sizes) == 1 else None
    if size is not None and any(value["type"] == "sparse" for value in given):
        offsets = np.cumsum([0, *(len(v["values"]) if v else 0 for v in values)], dtype=np.int64)
        at = [v.get("indices", range(size)) for v in given]
        indices = np.array([i for row in at for i in row], dtype=np.int32)
        stored = np.array([parse_number(x) for v in given for x in v["values"]], dtype=np.float64)
        return Sparse(size, offsets, indices, stored, validity)
    if size is not None:
        rows = [[0.0] * size if value is None else dense_elements(value) for value in values]
        return Dense(np.array(rows, dtype=np.float64), validity)
    lists = [[] if value is None else dense_elements(value) for value in values]
    offsets = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    flat = np.array([element for row in lists for element in row], dtype=np.float64)
    return Ragged(offsets, Dense(flat), validity)
