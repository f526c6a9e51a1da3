"""scikit-learn's estimators, and others that have its methods."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydro_models import pickles
from hydro_models.answers import Answerer, Answerers
from hydro_models.errors import CannotSave
from hydro_models.node_checks import check_nodes
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
        data = pickles.dumps(model)
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
        return pickles.loads(file.read_bytes())
    return read_skops(file.read_bytes())


def libraries(file: Path) -> Sequence[str]:
    """The packages whose classes and functions the file names."""
    return sorted(_packages(file) | {"numpy", "scikit-learn", "scipy"})


def read_skops(data: bytes) -> Any:
    """The model in a skops file of types that need no trust.

    Raises:
        ValueError: the trees in it are broken.
        Exception: it holds other types, or cannot be read.
    """
    import skops.io

    model = skops.io.loads(data, trusted=[*TRUSTED])
    check_nodes(model)
    return model


def skops_data(model: Any) -> bytes | None:
    """The model as skops writes it, if it is read again without trust."""
    try:
        import skops.io
    except ImportError:
        return None
    try:
        data: bytes = skops.io.dumps(pickles.in_memory_order(model))
        if set(skops.io.get_untrusted_types(data=data)) <= TRUSTED:
            read_skops(data)
            return data
    except Exception:  # of whatever skops cannot take; a pickle may
        return None
    return None


def _labels(model: Any) -> Sequence[Any]:
    """The classes of an estimator with one target."""
    classes = getattr(model, "classes_", ())
    return () if isinstance(classes, list) else [*classes]


def _packages(file: Path) -> set[str]:
    if file.suffix == ".skops":
        return {"skops"}
    return _distributions(pickles.packages(file.read_bytes()))


def _distributions(packages: set[str]) -> set[str]:
    """Those that packages are of; Python's own are of none."""
    from importlib.metadata import packages_distributions

    table = packages_distributions()
    return {table[package][0] for package in packages if package in table}
