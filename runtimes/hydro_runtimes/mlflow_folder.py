"""Folders that MLflow saved: their flavors, their signature and their input example.

MLmodel is YAML; nothing of MLflow is needed to read it.

Source: mlflow 3.17, mlflow/models/{model,signature}.py, mlflow/types/schema.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydro_runtimes.columns import DataType
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Field, Signature
from hydro_runtimes.files import open_regular

MLMODEL = "MLmodel"
ROW = "features"
"""The name of an input of which MLflow states none: a row of an array."""
_MAX_BYTES = 4 << 20
_OUTPUTS = {"predict_proba": "probability"}
"""By the method that MLflow calls; others are named as the method."""
_COLUMNS: Mapping[object, DataType] = {
    "boolean": DataType.BOOL,
    "integer": DataType.INT32,
    "long": DataType.INT64,
    "float": DataType.FLOAT32,
    "double": DataType.FLOAT64,
    "string": DataType.STRING,
    "datetime": DataType.JSON,
    "object": DataType.JSON,
    "map": DataType.JSON,
    "any": DataType.JSON,
}
"""By type in MLflow's signature."""
_TENSORS: Mapping[object, DataType] = {
    "bool": DataType.BOOL,
    "int8": DataType.INT32,
    "int16": DataType.INT32,
    "int32": DataType.INT32,
    "int64": DataType.INT64,
    "uint8": DataType.INT32,
    "uint16": DataType.INT32,
    "uint32": DataType.INT64,
    "float16": DataType.FLOAT32,
    "float32": DataType.FLOAT32,
    "float64": DataType.FLOAT64,
    "object": DataType.STRING,
    "str": DataType.STRING,
}


def is_mlflow(folder: Path) -> bool:
    """Whether MLflow saved the folder."""
    return (folder / MLMODEL).is_file()


def read_mlmodel(folder: Path) -> Mapping[str, Any]:
    """What MLmodel states.

    Raises:
        InvalidModel: it cannot be read.
    """
    import yaml

    try:
        with open_regular(folder / MLMODEL) as stream:
            # safe_load makes no objects; the limit bounds what aliases of YAML can make of a file.
            return as_mapping(yaml.safe_load(stream.read(_MAX_BYTES)))
    except (OSError, RecursionError, ValueError, yaml.YAMLError) as error:
        raise InvalidModel(folder, f"{MLMODEL} cannot be read: {error}") from error


def read_flavors(folder: Path) -> Mapping[str, Any]:
    """The flavors, each with what it states."""
    return as_mapping(read_mlmodel(folder).get("flavors"))


def read_code(folder: Path) -> str:
    """The folder of the modules that were saved with the model, relative to it; "" for none."""
    stated = [as_mapping(each).get("code") for each in read_flavors(folder).values()]
    name = next((each for each in stated if isinstance(each, str)), "")
    return "" if Path(name).is_absolute() or ".." in Path(name).parts else name


def read_inputs(folder: Path) -> tuple[Field, ...]:
    """The columns of the signature's inputs; () where it has none, or an array without a name.

    Raises:
        InvalidModel: one is of a type that is not supported.
    """
    entries = _entries(folder, read_mlmodel(folder), "inputs")
    if any(not isinstance(entry.get("name"), str) for entry in entries):
        return ()
    return tuple(_input(folder, entry) for entry in entries)


def read_signature(folder: Path) -> Signature:
    """The signature of a model that does not tell its columns itself.

    Raises:
        InvalidModel: MLmodel states none, or one that is not supported.
    """
    stated = read_mlmodel(folder)
    entries, outputs = (_entries(folder, stated, side) for side in ("inputs", "outputs"))
    if not entries or not outputs:
        raise InvalidModel(
            folder,
            f"{MLMODEL} states no {'outputs' if entries else 'inputs'}: log the model with "
            "signature=infer_signature(X, model.predict(X)), or with an input_example",
        )
    names = [{"name": ROW, **entry} for entry in entries]
    output = _output(folder, stated, outputs)
    return Signature(tuple(_input(folder, entry) for entry in names), (output,))


def read_example(folder: Path) -> list[dict[str, Any]]:
    """The rows of the input example, as clients send them; [] where there is none.

    Raises:
        InvalidModel: it cannot be read.
    """
    stated = as_mapping(read_mlmodel(folder).get("saved_input_example_info"))
    name = stated.get("artifact_path")
    if not isinstance(name, str) or name != Path(name).name:
        return []
    try:
        with open_regular(folder / name) as stream:
            example = json.loads(stream.read(_MAX_BYTES))
        if stated.get("type") == "dataframe":
            return [dict(zip(example["columns"], row, strict=True)) for row in example["data"]]
        rows = example.get("inputs", ()) if isinstance(example, dict) else example
        return [{ROW: row} for row in rows]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidModel(folder, f"{name} cannot be read: {error}") from error


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The value, or an empty mapping where it is none."""
    return value if isinstance(value, dict) else {}


def _entries(folder: Path, stated: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The columns of a side of the signature, which is a text of JSON."""
    text = as_mapping(stated.get("signature")).get(key)
    try:
        listed = json.loads(text) if isinstance(text, str) else ()
    except (ValueError, RecursionError) as error:
        raise InvalidModel(folder, f"{MLMODEL} has {key} that are not JSON: {error}") from error
    return [entry for entry in listed if isinstance(entry, dict)]


def _input(folder: Path, entry: Mapping[str, Any]) -> Field:
    """A column; whether floats and texts may be missing is for the model to judge."""
    type, shape = _type(folder, entry)
    may_lack = type in (DataType.FLOAT32, DataType.FLOAT64, DataType.STRING)
    is_required = entry.get("required", True) is not False
    nullable = not shape and (may_lack or not is_required)
    return Field(str(entry.get("name")), type, shape, nullable=nullable)


def _output(folder: Path, stated: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> Field:
    """What the one method gives that MLflow calls; columns of one type are a vector."""
    function = as_mapping(as_mapping(stated.get("flavors")).get("python_function"))
    method = str(function.get("predict_fn", "predict"))
    name = _OUTPUTS.get(method, "prediction" if method == "predict" else method)
    type, shape = _type(folder, entries[0])
    if len(entries) > 1:
        if shape or any(_type(folder, entry) != (type, ()) for entry in entries):
            raise InvalidModel(folder, f"{MLMODEL} states outputs of several types, want one")
        shape = (len(entries),)
    return Field(name, type, shape, nullable=type is DataType.STRING)


def _type(folder: Path, entry: Mapping[str, Any]) -> tuple[DataType, tuple[int, ...]]:
    """Of an entry: the type, and the shape of a row's value."""
    kind = entry.get("type")
    if kind == "tensor":
        spec = as_mapping(entry.get("tensor-spec"))
        found, sizes = _TENSORS.get(spec.get("dtype")), spec.get("shape")
        if found and isinstance(sizes, list) and sizes and all(isinstance(s, int) for s in sizes):
            return found, tuple(sizes[1:])
    elif kind == "array":
        inner, shape = _type(folder, as_mapping(entry.get("items")))
        return inner, (-1, *shape)
    elif isinstance(kind, str) and kind in _COLUMNS:
        return _COLUMNS[kind], ()
    got = json.dumps(entry)[:100]
    raise InvalidModel(folder, f"{MLMODEL} has a column {got}, which is not supported")
