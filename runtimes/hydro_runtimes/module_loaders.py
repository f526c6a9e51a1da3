"""How modules of a model are run: from the bytes that were checked against its digest."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import os
import sys
import types
from types import CodeType
from typing import Protocol

_CLOUDPICKLES = ("cloudpickle", "joblib.externals.cloudpickle")


class Space(Protocol):
    """The files and builtins of one model, see `imports.ImportSpace`."""

    def read(self, path: str) -> bytes:
        """The bytes of a file of the model, as they were listed."""
        ...

    def set_builtins(self, module: types.ModuleType) -> None:
        """Gives a module the model's builtins, before its code runs."""
        ...


class ListedSourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles the listed source every time: a cached .pyc is not a part of the digest."""

    def __init__(self, name: str, path: str, space: Space) -> None:
        super().__init__(name, path)
        self._space = space

    def get_data(self, path: str) -> bytes:
        return self._space.read(path)

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: types.ModuleType) -> None:
        self._space.set_builtins(module)
        super().exec_module(module)


class ListedExtensionLoader(importlib.machinery.ExtensionFileLoader):
    """Loads a copy in memory, which cannot be changed between the check and the load."""

    def __init__(self, name: str, path: str, space: Space) -> None:
        super().__init__(name, path)
        self._space = space

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        # Stays open: the dynamic linker knows libraries by their path, and would take this for that
        # of another model which had the same number.
        copy = os.memfd_create(spec.name)
        with os.fdopen(copy, "wb", closefd=False) as file:
            file.write(self._space.read(self.path))
        origin = f"/proc/self/fd/{copy}"
        return super().create_module(importlib.machinery.ModuleSpec(spec.name, self, origin=origin))


class FolderLoader(importlib.abc.Loader):
    """For a package that is a folder without an __init__: there is nothing to run."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        return None


def register_by_value(name: str) -> None:
    """Has joblib send functions and classes of a model whole: its processes cannot import them.

    Args:
        name: of the model's root package.
    """
    for pickler in filter(None, map(sys.modules.get, _CLOUDPICKLES)):
        pickler.register_pickle_by_value(sys.modules[name])


def unregister_by_value(name: str) -> None:
    """The reverse of `register_by_value`."""
    for pickler in filter(None, map(sys.modules.get, _CLOUDPICKLES)):
        with contextlib.suppress(ValueError):
            pickler.unregister_pickle_by_value(types.ModuleType(name))
