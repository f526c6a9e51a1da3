"""scikit-learn's estimators, and others that have its methods."""

from __future__ import annotations

import io
import pickle
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydro_models.answers import Answerer, Answerers
from hydro_models.errors import CannotSave
from hydro_models.skops_types import TRUSTED

SKOPS, PICKLE = "model.skops", "model.pkl"
METHODS = {
    "prediction": "predict",
    "probability": "predict_proba",
    "decision_function": "decision_function",
    "predict_log_proba": "predict_log_proba",
    "score_samples": "score_samples",
    "transform": "transform",
    "kneighbors": "kneighbors",
}
"""By the name of the output. `kneighbors` gives two, see `PARTS`."""
PARTS = {"kneighbors": ("kneighbors_distances", "kneighbors_indices")}
_DEFAULT = (("prediction", "probability"), ("transform",), ("kneighbors",), ("score_samples",))
"""Of these groups the first of which an estimator has any."""


def matches(model: Any) -> bool:
    """Has `fit`, and parameters or a method of `METHODS`."""
    return hasattr(model, "fit") and any(
        hasattr(model, name) for name in ("get_params", *METHODS.values())
    )


def answerers(model: Any) -> Answerers:
    """One for each method that the estimator has."""
    return {
        name: Answerer(
            getattr(model, method),
            PARTS.get(name, ()),
            partial(_labels, model) if method in ("predict_proba", "predict_log_proba") else tuple,
        )
        for name, method in METHODS.items()
        if hasattr(model, method)
    }


def default_outputs(model: Any) -> Sequence[str]:
    """Prediction and probability; else what it transforms to; else neighbors, or scores."""
    having = answerers(model)
    groups = ([name for name in group if name in having] for group in _DEFAULT)
    return next((group for group in groups if group), [*having])


def write(model: Any, folder: Path) -> Path:
    """model.skops, if it can be read without trust; else model.pkl, by cloudpickle."""
    data = skops_data(model)
    if data is not None:
        (folder / SKOPS).write_bytes(data)
        return folder / SKOPS
    try:
        data = _pickle(model)
    except Exception as error:
        raise CannotSave(
            f"the {type(model).__name__} cannot be pickled ({type(error).__name__}: {error}): "
            "leave out what is open or running, such as files and locks"
        ) from error
    (folder / PICKLE).write_bytes(data)
    return folder / PICKLE


def read(file: Path) -> Any:
    """As `kinds.KindModule.read`."""
    if file.suffix != ".skops":
        return _Modules(file.read_bytes()).load()
    import skops.io

    return skops.io.load(file, trusted=[*TRUSTED])


def libraries(file: Path) -> Sequence[str]:
    """The packages whose classes and functions the file names."""
    return sorted(_packages(file) | {"numpy", "scikit-learn", "scipy"})


def skops_data(model: Any) -> bytes | None:
    """The model as skops writes it, if it is read again without trust."""
    try:
        import skops.io
    except ImportError:
        return None
    try:
        data: bytes = skops.io.dumps(model)
        if set(skops.io.get_untrusted_types(data=data)) <= TRUSTED:
            skops.io.loads(data, trusted=[*TRUSTED])
            return data
    except Exception:  # of whatever skops cannot take; a pickle may
        return None
    return None


def _labels(model: Any) -> Sequence[Any]:
    """The classes of an estimator with one target."""
    classes = getattr(model, "classes_", ())
    return () if isinstance(classes, list) else [*classes]


def _pickle(model: Any) -> bytes:
    """With functions and classes of scripts and notebooks by value: runtimes do not have them."""
    cloudpickle = _cloudpickle()
    modules = _Modules(cloudpickle.dumps(model))
    modules.load()
    with _by_value(cloudpickle, [name for name in modules.names if _is_own(name)]):
        data: bytes = cloudpickle.dumps(model)
        return data


def _cloudpickle() -> Any:
    """Its own package, or joblib's copy in versions that have one."""
    try:
        import cloudpickle
    except ImportError:
        from joblib.externals import cloudpickle
    return cloudpickle


class _Modules(pickle.Unpickler):
    """Reads a pickle, and notes the modules that it names."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add(module)
        return super().find_class(module, name)


@contextmanager
def _by_value(cloudpickle: Any, names: Sequence[str]) -> Iterator[None]:
    modules = [sys.modules[name] for name in names if name in sys.modules]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _is_own(name: str) -> bool:
    """Whether a module is neither installed nor Python's own."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or name == "__main__":
        return False
    installed = {sysconfig.get_path(path) for path in ("purelib", "platlib", "stdlib")}
    return not any(Path(file).is_relative_to(path) for path in installed)


def _packages(file: Path) -> set[str]:
    if file.suffix == ".skops":
        return {"skops"}
    modules = _Modules(file.read_bytes())
    modules.load()
    return _distributions({name.partition(".")[0] for name in modules.names})


def _distributions(packages: set[str]) -> set[str]:
    """Those that packages are of; Python's own are of none."""
    from importlib.metadata import packages_distributions

    table = packages_distributions()
    return {table[package][0] for package in packages if package in table}
