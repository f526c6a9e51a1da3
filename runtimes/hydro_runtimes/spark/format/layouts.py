"""Where in a folder the saved stage is: users name the folder that their tool made around it.

MLflow   MLmodel names the folder of the flavor "spark", and tells the types of columns
SparkR   rMetadata lies beside the pipeline
copied   the only model is one or two folders further down

Source: mlflow.spark 3.3.2, org.apache.spark.ml.r.RWrappers 4.3.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hydro_runtimes.columns import DataType
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Field
from hydro_runtimes.mlflow_folder import as_mapping, read_flavors, read_mlmodel

_MAX_LEVELS = 2
_STAGE = re.compile(r"\d+_")
"""The start of the name of a stage's folder in a PipelineModel: its index."""
_TYPES: Mapping[object, DataType] = {
    "boolean": DataType.BOOL,
    "integer": DataType.INT32,
    "long": DataType.INT64,
    "float": DataType.FLOAT32,
    "double": DataType.FLOAT64,
    "string": DataType.STRING,
}
"""By type in MLflow's signature; its other types do not tell the type of a column of Spark."""


class SavedFolder(NamedTuple):
    """The folder of a model, and what lies in it."""

    stage: Path
    """The folder of the saved stage: the same folder, or one in it."""
    inputs: tuple[Field, ...] = ()
    """The columns whose types MLflow tells."""


def read_layout(folder: Path) -> SavedFolder | None:
    """The layout that the names in a folder show; None if they show none.

    Raises:
        InvalidModel: MLflow (flavor "spark") or SparkR made it, but no saved stage is in it.
    """
    if is_stage(folder):
        return SavedFolder(folder)
    # MLflow first says which folder it is; what lies beside it is not looked through.
    if (folder / "MLmodel").is_file():
        return _mlflow_folder(folder)
    if (folder / "rMetadata").is_dir():
        return SavedFolder(_only_below(folder, "SparkR's"))
    return None


def search_below(folder: Path) -> SavedFolder | None:
    """The layout of the only model in the folders below; None if there is none.

    Raises:
        InvalidModel: there are several models, or a model of which parts are missing.
    """
    if (reason := _layout_problem(folder)) is not None:
        raise InvalidModel(folder, reason)
    found = _models_below(folder, _MAX_LEVELS)
    if len(found) > 1:
        names = ", ".join(str(each.stage.relative_to(folder)) for each in found[:10])
        raise InvalidModel(folder, f"holds more than one model: {names}; want the folder of one")
    return found[0] if found else None


def is_stage(folder: Path) -> bool:
    """Whether this is the folder of a saved stage."""
    return (folder / "metadata").is_dir() and any((folder / "metadata").glob("part-*"))


def _layout_problem(folder: Path) -> str | None:
    if (folder / "metadata").is_dir():
        return "metadata has no part file: copy the whole folder that Spark saved"
    if (folder / "MLmodel").is_file():
        flavors = ", ".join(map(str, read_flavors(folder))) or "none"
        return f"MLflow saved the flavors {flavors[:200]}: want spark, saved by mlflow.spark"
    if (folder / "stages").is_dir():
        return (
            "has stages of a PipelineModel without its metadata, which names them: copy the whole "
            "folder that Spark saved"
        )
    names = [path.name for path in _subfolders(folder) if is_stage(path)]
    if len(names) > 1 and all(map(_STAGE.match, names)):
        return "holds the stages of a PipelineModel: want the folder above, with its metadata"
    return None


def _models_below(folder: Path, levels: int) -> list[SavedFolder]:
    found: list[SavedFolder] = []
    for path in _subfolders(folder):
        layout = read_layout(path)
        # Below what looks like half of a model nothing is searched: the stages of a pipeline are
        # not models of their own.
        if layout is None and _layout_problem(path) is None and levels > 1:
            found += _models_below(path, levels - 1)
        elif layout is not None:
            found.append(layout)
    return found


def _subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, without links and without Hadoop's own (`_*`, `.*`)."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise InvalidModel(folder, f"cannot be read: {error.strerror}") from error
    return [p for p in paths if p.name[0] not in "_." and p.is_dir() and not p.is_symlink()]


def _only_below(folder: Path, whose: str) -> Path:
    stages = [path for path in _subfolders(folder) if is_stage(path) and path.name != "rMetadata"]
    if len(stages) != 1:
        got = ", ".join(path.name for path in stages) or "none"
        raise InvalidModel(folder, f"is {whose}, with one saved pipeline: found {got}")
    return stages[0]


def _mlflow_folder(folder: Path) -> SavedFolder | None:
    """None if MLflow saved other flavors only."""
    flavors = read_flavors(folder)
    function = as_mapping(flavors.get("python_function"))
    if "spark" in flavors:
        name = as_mapping(flavors["spark"]).get("model_data", "sparkml")
    elif function.get("loader_module") == "mlflow.spark":
        name = function.get("data", "sparkml")
    else:
        return None
    if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise InvalidModel(folder, f"MLmodel has model_data {name!r}, want a folder in this one")
    stage = folder / name
    if not is_stage(stage) or stage.is_symlink():
        raise InvalidModel(folder, f"MLmodel names {name}, where nothing is saved: copy all of it")
    return SavedFolder(
        stage, _signature_inputs(as_mapping(read_mlmodel(folder).get("signature")).get("inputs"))
    )


def _signature_inputs(text: Any) -> tuple[Field, ...]:
    """The columns of a signature, which is a text of JSON, whose types are Spark's too."""
    try:
        columns = json.loads(text) if isinstance(text, str) else ()
    except (ValueError, RecursionError):
        return ()
    return tuple(
        Field(column["name"], _TYPES[column["type"]])
        for column in (columns if isinstance(columns, list) else ())
        if isinstance(column, dict)
        and isinstance(column.get("name"), str)
        and isinstance(column.get("type"), str)
        and column["type"] in _TYPES
    )
