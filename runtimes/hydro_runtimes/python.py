"""Custom models: the folder brings a Python module, `model.py`, that is run if it is trusted.

    class Model:
        def __init__(self, folder: pathlib.Path) -> None: ...
        def evaluate(self, columns: Mapping[str, np.ndarray | Sequence]) -> Mapping[str, ...]: ...

`evaluate` gets and gives plain arrays and lists (see `plain`), one value a row; the columns are
those of metadata.json. Modules beside model.py are imported with `from . import other`.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import itertools
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType
from typing import Any

from hydro_runtimes import plain
from hydro_runtimes.columns import Columns
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluation, Signature

_PREFIX = "_hydro_model_"
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class PythonEvaluator:
    """Hands plain columns to a custom model and checks what it answers."""

    signature: Signature
    model: Any
    """Has `evaluate`, as the module's docstring tells."""

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`.

        Raises:
            ValueError: the model's answer is not as declared in metadata.json.
            Exception: what the model raised.
        """
        given, failures, _ = plain.without_nulls(columns, self.signature.inputs)
        inputs = {
            field.name: plain.plain(given[field.name])
            for field in self.signature.inputs
            if field.name in given
        }
        answer = self.model.evaluate(inputs)
        if not isinstance(answer, Mapping):
            raise ValueError(f"evaluate gave a {type(answer).__name__}, want a dict of columns")
        outputs = {
            field.name: plain.column(field, answer[field.name], given.rows)
            for field in self.signature.outputs
            if field.name in answer or not field.optional
        }
        return Evaluation(outputs, failures)


def load(folder: Path, signature: Signature) -> PythonEvaluator:
    """Imports model.py of a folder that was found trusted, under a name of its own.

    Raises:
        InvalidModel: it cannot be imported, or has no class Model that can be made and evaluates.
    """
    module = _import(folder)
    factory = getattr(module, "Model", None)
    if not isinstance(factory, type) or not callable(getattr(factory, "evaluate", None)):
        raise InvalidModel(folder, "model.py has no class 'Model' with a method 'evaluate'")
    try:
        return PythonEvaluator(signature, factory(folder))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidModel(folder, f"Model(folder) of model.py failed: {reason}") from error


def _import(folder: Path) -> types.ModuleType:
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    package = types.ModuleType(f"{_PREFIX}{next(_numbers)}")
    package.__path__ = [str(folder.resolve())]
    sys.modules[package.__name__] = package
    try:
        return importlib.import_module(f"{package.__name__}.model")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidModel(folder, f"model.py cannot be imported: {reason}") from error


class _Source(importlib.machinery.SourceFileLoader):
    """Compiles from source always: a cached .pyc is no part of the digest that is trusted."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder(MetaPathFinder):
    """Finds the modules of model folders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(_PREFIX) or path is None:
            return None
        native = importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES
        for folder in path:
            finder = importlib.machinery.FileFinder(folder, (_Source, [".py"]), native)
            if spec := finder.find_spec(fullname):
                return spec
        return None
