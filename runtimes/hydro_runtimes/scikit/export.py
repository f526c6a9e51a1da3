"""Writes the model folder of a fitted estimator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hydro_runtimes import files, metadata
from hydro_runtimes.columns import Array, DataType
from hydro_runtimes.errors import UntrustedModel
from hydro_runtimes.evaluator import Field, Signature
from hydro_runtimes.scikit.evaluator import METHODS, output_names


def save(
    estimator: Any, folder: Path, example: Any, inputs: Sequence[str] | None = None
) -> Signature:
    """Writes model.skops and metadata.json for a fitted estimator, ready to serve.

    Args:
        estimator: fitted; of types that skops trusts (scikit-learn's own mostly are).
        folder: made when missing; its name is the model's name.
        example: some rows as the model is fitted with: a matrix, a data frame or a list of texts.
        inputs: the names of the columns; else those of the data frame, else x0, x1, ...

    Raises:
        UntrustedModel: skops would not load the file again without being told to.
    """
    import skops.io

    data = skops.io.dumps(estimator)
    if unknown := skops.io.get_untrusted_types(data=data):
        raise UntrustedModel(
            folder,
            "",
            f"skops does not trust {', '.join(unknown)}: make it of "
            "scikit-learn's own types, or save a custom model (model.py)",
        )
    fields = tuple(_input_fields(example, inputs))
    outputs = tuple(
        _output_field(estimator, name, example)
        for name in output_names(estimator)
        if name in METHODS or (name == "transform" and not hasattr(estimator, "predict"))
    )
    signature = Signature(fields, outputs)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.skops").write_bytes(data)
    text = json.dumps(metadata.make_document(folder.resolve().name, signature), indent=2)
    (folder / files.METADATA).write_text(text + "\n")
    return signature


def _input_fields(example: Any, inputs: Sequence[str] | None) -> list[Field]:
    if hasattr(example, "columns"):
        names = inputs or [str(name) for name in example.columns]
        columns = [example.iloc[:, i].to_numpy() for i in range(len(names))]
    elif np.ndim(example) == 1:
        names, columns = inputs or ["text"], [np.asarray(example)]
    else:
        matrix = np.asarray(example)
        names = inputs or [f"x{i}" for i in range(matrix.shape[1])]
        columns = list(matrix.T)
    return [Field(name, _type(column)) for name, column in zip(names, columns, strict=True)]


def _output_field(estimator: Any, name: str, example: Any) -> Field:
    values = np.asarray(getattr(estimator, METHODS.get(name, name))(example))
    field = Field(name, _type(values), values.shape[1:])
    if name == "probability":
        return replace(field, nominal=tuple(str(label) for label in estimator.classes_))
    return field


def _type(values: Array) -> DataType:
    kinds = {"b": DataType.BOOL, "i": DataType.INT64, "u": DataType.INT64, "f": DataType.FLOAT64}
    return kinds.get(values.dtype.kind, DataType.STRING)
