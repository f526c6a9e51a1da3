"""The kinds of fitted models in one table: what marks one, what it answers, how it is written.

To add one: a module with these functions, and an entry of `KINDS`; how its file is read in a
runtime is a format of `hydro_runtimes.model_formats`. A library is imported when a model of it is
there already.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from hydro_models.answers import Answerers
from hydro_models.errors import CannotSave


class KindModule(Protocol):
    """What the module of a kind has."""

    def matches(self, model: Any) -> bool:
        """Whether a model is of this kind; imports nothing."""
        ...

    def answerers(self, model: Any) -> Answerers:
        """All outputs that the model can give."""
        ...

    def default_outputs(self, model: Any) -> Sequence[str]:
        """The names of the answerers that are asked when nobody says which."""
        ...

    def write(self, model: Any, folder: Path) -> Path:
        """Writes the model's file, and returns its path.

        Raises:
            CannotSave: it cannot be written.
        """
        ...

    def read(self, file: Path) -> Any:
        """The model in a file that `write` has written; runs code that is in it."""
        ...

    def libraries(self, file: Path) -> Sequence[str]:
        """The distributions whose versions matter to the model in a file."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of models."""

    name: str
    """As in metadata.json."""
    module: str

    def load(self) -> KindModule:
        return cast(KindModule, importlib.import_module(self.module))


KINDS: tuple[Kind, ...] = (
    Kind("xgboost", "hydro_models.xgboost"),
    Kind("lightgbm", "hydro_models.lightgbm"),
    Kind("catboost", "hydro_models.catboost"),
    Kind("onnx", "hydro_models.onnx"),
    Kind("scikit", "hydro_models.scikit"),
)
"""A model is of the first that matches."""


def kind_of(model: Any) -> Kind:
    """The kind of a model.

    Raises:
        CannotSave: there is none for it.
    """
    for kind in KINDS:
        if kind.load().matches(model):
            return kind
    names = ", ".join(kind.name for kind in KINDS)
    raise CannotSave(
        f"a {type(model).__name__} of {type(model).__module__} is not a model of {names}: serve it "
        "with a model.py beside it"
    )
