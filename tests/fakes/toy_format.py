"""A format of models that the product does not know: one number, by which a column is multiplied.

This module is its loader, and `FORMAT` what the table has to have of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hydro_runtimes.columns import Columns, DataType, Dense
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Description, Evaluation, Field, Signature
from hydro_runtimes.model_folder import ModelFolder
from hydro_runtimes.model_formats import Format

FORMAT = Format(
    name="toy",
    description="one file of *.toy",
    service="serving-toy",
    loader="toy_format",
    suffixes={".toy": "text/x-toy"},
    extra="toy",
    modules=("numpy.linalg", "json"),
)
SIGNATURE = Signature((Field("x", DataType.FLOAT64),), (Field("y", DataType.FLOAT64),))


@dataclass(frozen=True)
class Factor:
    value: float
    signature: Signature = SIGNATURE

    def evaluate(self, columns: Columns) -> Evaluation:
        x = columns["x"]
        assert isinstance(x, Dense)
        return Evaluation({"y": Dense(x.values * self.value)})


def describe(folder: ModelFolder) -> Description:
    return Description(load(folder).signature)


def load(folder: ModelFolder) -> Factor:
    (path,) = (folder.path / f.path for f in folder.files if Path(f.path).suffix == ".toy")
    try:
        return Factor(float(path.read_text()))
    except ValueError as error:
        raise InvalidModel(path, f"{error}, want a number") from error
