"""The loader of LightGBM's models, in its text.

The answer is that of `Booster.predict`; a saved file has the trees up to the best iteration.

Source: lightgbm 4.7, python-package/lightgbm/basic.py; src/boosting/gbdt_model_text.cpp.
Prediction is safe in many threads: the library takes a lock for writers only.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from hydro_models.threads import thread_count
from hydro_runtimes import fitted
from hydro_runtimes.boosters.evaluator import (
    PREDICTION,
    BoosterFile,
    describe_booster,
    make_evaluator,
    read_booster,
    width_field,
)
from hydro_runtimes.boosters.features import Features, category_type, unnamed_features
from hydro_runtimes.columns import Columns, DataType
from hydro_runtimes.evaluator import Description, Evaluator, Field
from hydro_runtimes.model_folder import ModelFolder

START = b"tree\n"
_CATEGORIES = "\npandas_categorical:"
_END = "\nend of trees\n"
_UNNAMED = re.compile(r"Column_\d+")


def describe(folder: ModelFolder) -> Description:
    """As `model_formats.Loader.describe`."""
    return describe_booster(folder, "lightgbm", parse_file)


def load(folder: ModelFolder) -> Evaluator:
    """As `model_formats.Loader.load`."""
    if saved := fitted.load_native(folder, "lightgbm"):
        return saved
    path, file = read_booster(folder, "lightgbm", parse_file)
    return make_evaluator(path, file, _LightgbmPredictor(path, file.features))


def parse_file(data: bytes) -> BoosterFile:
    """What a model's file tells.

    Raises:
        ValueError, LookupError: it is not whole.
    """
    text = data.decode()
    if not text.startswith(START.decode()) or _END not in text:
        raise ValueError("want a text from 'tree' to 'end of trees'")
    head = dict(line.split("=", 1) for line in text.split("\n\n", 1)[0].split("\n") if "=" in line)
    names, size = head["feature_names"].split(" "), int(head["max_feature_idx"]) + 1
    if len(names) != size or len(set(names)) != size:
        raise ValueError(f"has {len(names)} names of {size} features")
    classes = int(head["num_class"])
    return BoosterFile(
        _read_features(names, text, head["feature_infos"].split(" ")),
        (width_field(PREDICTION, DataType.FLOAT64, classes),),
    )


def _read_features(names: list[str], text: str, infos: list[str]) -> Features:
    if all(map(_UNNAMED.fullmatch, names)):
        return unnamed_features(len(names))
    categories = _read_categories(names, text[text.index(_END) :], infos)
    fields = (
        Field(
            name,
            category_type(categories[name]) if name in categories else DataType.FLOAT64,
            nullable=True,
        )
        for name in names
    )
    return Features(tuple(fields), categories)


def _read_categories(names: list[str], tail: str, infos: list[str]) -> dict[str, tuple[Any, ...]]:
    """Of the categorical columns of the data frame, by name.

    The text lists the categories in the order of those columns, without their names.
    """
    stated = tail.rpartition(_CATEGORIES)[2] if _CATEGORIES in tail else "null"
    listed = json.loads(stated.split("\n", 1)[0])
    if not listed:
        return {}
    found = re.search(r"^\[categorical_feature: ([\d,]+)\]$", tail, re.MULTILINE)
    places = [int(place) for place in found[1].split(",")] if found else []
    if len(places) != len(listed):
        places = [at for at, info in enumerate(infos) if re.fullmatch(r"-?\d+(:-?\d+)*", info)]
    if len(places) != len(listed):
        raise ValueError(f"has categories of {len(listed)} columns, and {len(places)} such columns")
    return {
        names[place]: tuple(values) for place, values in zip(sorted(places), listed, strict=True)
    }


class _LightgbmPredictor:
    """Makes the matrix and asks the booster."""

    def __init__(self, path: Path, features: Features) -> None:
        import lightgbm

        self._features = features
        self._booster: Any = lightgbm.Booster(model_file=path)

    def __call__(self, columns: Columns) -> list[Any]:
        matrix = self._features.make_matrix(columns, np.float64)
        return [self._booster.predict(matrix, num_threads=thread_count())]
