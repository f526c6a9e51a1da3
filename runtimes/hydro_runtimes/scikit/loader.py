"""The loader of skops files, and of pickles that are trusted."""

from __future__ import annotations

import io
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydro_models import scikit
from hydro_models.skops_types import TRUSTED
from hydro_runtimes import files, mlflow_folder
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Description
from hydro_runtimes.files import File
from hydro_runtimes.fitted import FittedEvaluator, differing, is_saved, make_evaluator, read_fitted
from hydro_runtimes.imports import ImportSpace
from hydro_runtimes.model_folder import ModelFolder


def describe(folder: ModelFolder) -> Description:
    """As `formats.Loader.describe`."""
    return Description(folder.read_signature())


def load(folder: ModelFolder) -> FittedEvaluator:
    """The estimator in the one .skops, .joblib or .pkl file of the folder.

    Where the folder is trusted, modules beside the file are found by plain name; their space is
    closed when the evaluator is no more.

    Raises:
        InvalidModel: there are several, it cannot be read, or does not fit its metadata.json.
        UntrustedModel: a skops file with types that skops does not trust.
    """
    file = _estimator_file(folder)
    if not folder.is_trusted:
        return make_evaluator(folder, scikit.answerers(_load_harmless(folder, file)))
    code = mlflow_folder.read_code(folder.path) if mlflow_folder.is_mlflow(folder.path) else ""
    space = ImportSpace(folder.path, folder.files, code)
    reader = _READERS[Path(file.path).suffix]
    try:
        with space.active():
            estimator = _read_file(folder, file, lambda data: reader(data, space))
            evaluator = make_evaluator(folder, scikit.answerers(estimator))
    except BaseException:
        space.close()
        raise
    # Not at exit: modules are taken apart by then, and threads may still evaluate.
    weakref.finalize(evaluator, space.close).atexit = False
    return evaluator


def _estimator_file(folder: ModelFolder) -> File:
    """The file that holds the estimator, as it was hashed.

    Raises:
        InvalidModel: there is none, or more than one.
    """
    found = [f for f in folder.files if "/" not in f.path and Path(f.path).suffix in _READERS]
    if len(found) != 1:
        names = ", ".join(file.path for file in found) or "none"
        raise InvalidModel(folder.path, f"found {names}, want one file of {', '.join(_READERS)}")
    return found[0]


def _load_harmless(folder: ModelFolder, file: File) -> Any:
    """The estimator in a skops file of types that need no trust.

    Raises:
        UntrustedModel: it holds others.
    """
    import skops.io

    types = _read_file(folder, file, lambda data: skops.io.get_untrusted_types(data=data))
    unknown = [name for name in types if name not in TRUSTED]
    if unknown:
        types = ", ".join(unknown)
        folder.require_trust(f"'{file.path}' holds types that skops does not trust ({types})")
    return _read_file(folder, file, scikit.read_skops)


class _Unpickler(pickle.Unpickler):
    """Finds the model's own classes first, whatever else is installed under that name."""

    def __init__(self, data: bytes, space: ImportSpace) -> None:
        super().__init__(io.BytesIO(data))
        self._space = space

    def find_class(self, module: str, name: str) -> Any:
        own = self._space.module(module).__name__ if self._space.owns(module) else module
        return super().find_class(own, name)


def _unpickle(data: bytes, space: ImportSpace) -> Any:
    return _Unpickler(data, space).load()


def _unjoblib(data: bytes, space: ImportSpace) -> Any:
    import joblib

    return joblib.load(io.BytesIO(data))


def _unskops(data: bytes, space: ImportSpace) -> Any:
    import skops.io

    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


_READERS: dict[str, Callable[[bytes, ImportSpace], Any]] = {
    ".skops": _unskops,
    ".joblib": _unjoblib,
    ".pkl": _unpickle,
    ".pickle": _unpickle,
}


def _read_file(folder: ModelFolder, file: File, read: Callable[[bytes], Any]) -> Any:
    data = files.read_listed(folder.path, file)
    try:
        return read(data)
    except Exception as error:
        saved = read_fitted(folder) if is_saved(folder) else None
        reason = f"{type(error).__name__}: {error}{differing(saved)}"
        raise InvalidModel(folder.path, f"'{file.path}' cannot be read: {reason}") from error
