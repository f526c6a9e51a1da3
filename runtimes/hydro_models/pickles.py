"""Models as pickles: whole, and with their arrays in the order of memory that they were fitted in.

Functions and classes of scripts, notebooks and modules that are not installed go along: a runtime
could not import them.
"""

from __future__ import annotations

import io
import pickle
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hydro_models.wire import Array


def dumps(model: Any) -> bytes:
    """The model as a pickle.

    Raises:
        Exception: it holds what cannot be pickled.
    """
    modules = _Modules(_dump(model))
    modules.load()
    with _by_value([name for name in modules.names if _is_own(name)]):
        return _dump(model)


def loads(data: bytes) -> Any:
    """The model in a pickle; runs the code that is in it."""
    return pickle.loads(data)


def packages(data: bytes) -> set[str]:
    """The packages whose classes and functions a pickle names; runs the code that is in it."""
    modules = _Modules(data)
    modules.load()
    return {name.partition(".")[0] for name in modules.names}


def in_memory_order(model: Any) -> Any:
    """The model, with arrays that are parts of others as arrays of their own, in the same order.

    Files have an array by rows or by columns, and a part of one by columns would come back by rows:
    products with it would differ in their last bits.
    """
    try:
        return pickle.loads(_dump(model))
    except Exception:
        return model


def _dump(model: Any) -> bytes:
    file = io.BytesIO()
    _pickler_class()(file).dump(model)
    return file.getvalue()


def _pickler_class() -> Any:
    base = _cloudpickle().Pickler

    class Pickler(base):  # type: ignore[misc, valid-type]
        """Writes parts of arrays by columns as arrays by columns."""

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is np.ndarray and not obj.flags.forc and is_by_columns(obj):
                return np.asfortranarray(obj).__reduce__()
            return super().reducer_override(obj)

    return Pickler


def is_by_columns(array: Array) -> bool:
    """Whether a step down a column is shorter than one along a row."""
    return array.ndim > 1 and abs(array.strides[0]) < abs(array.strides[-1])


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
def _by_value(names: Sequence[str]) -> Iterator[None]:
    cloudpickle = _cloudpickle()
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
