"""An import space for each loaded model: it alone finds the modules beside it, by plain name.

In `sys.modules` a model's module has a name of its own: `model_<digest>.helper` for `helper.py`.
`import helper` finds it by the `__import__` in the builtins of the model's own modules. Python
looks that up where the statement runs, so it works at any time, in any thread, and for no other
code. Code that imports by a text (pickle, skops, `importlib.import_module`) gets an `_Alias` from
`sys.modules`, which stands for the module of the model that is on the caller's stack.

Source and compiled modules are read once, checked against the SHA-256 that was listed for the
digest, and run from those bytes. A file that is not listed, such as a .pyc, is not found.
"""

from __future__ import annotations

import builtins
import contextlib
import contextvars
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hydro_runtimes import files
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.module_loaders import (
    FolderLoader,
    ListedExtensionLoader,
    ListedSourceLoader,
    register_by_value,
    unregister_by_value,
)

_DIGITS = 12
"""Of a digest, in the names of modules."""
_lock = threading.RLock()
_spaces: dict[str, ImportSpace] = {}
"""Those that are open, by the name of their root package."""
_by_builtins: dict[int, ImportSpace] = {}
"""The same, by the id of their builtins, which each frame of their code has."""
_active: contextvars.ContextVar[ImportSpace | None] = contextvars.ContextVar("space", default=None)


@dataclass(frozen=True, slots=True)
class _ModuleFile:
    """A module among the files of a model; a folder without __init__ has no file."""

    file: files.File | None
    folder: str = ""
    """Of a package."""


class ImportSpace:
    """The modules of one loaded model. Close it when nothing evaluates the model any more."""

    def __init__(self, folder: Path, listed: Sequence[files.File], code: str = "") -> None:
        """Opens it.

        Args:
            folder: of the model.
            listed: the files of the folder, whose digest is trusted.
            code: a folder in it that has modules as well.
        """
        self.folder = folder.resolve()
        self._files = {file.path: file for file in listed}
        self._roots = ["", f"{code}/"] if code else [""]
        self._seen_path: list[str] = []
        self._found: dict[str, _ModuleFile | None] = {}
        # Python looks up `__import__` in the builtins of the code that runs: so a model's own code
        # is told from a library's without looking at names.
        self._builtins = {**vars(builtins), "__import__": self._import}
        digest = files.digest_of_files(listed)[:_DIGITS]
        with _lock:
            sys.dont_write_bytecode = True  # also for what a model imports in its own ways
            # Once for all models, before Python's own finders: these would look for a model's plain
            # names on sys.path.
            if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
                sys.meta_path.insert(0, _Finder())
            self.name = _unused_name(f"model_{digest}")
            # A package, so that importlib finds submodules: `_Finder` is asked for each.
            root = types.ModuleType(self.name)
            root.__path__ = [str(self.folder)]
            sys.modules[self.name] = root
            _spaces[self.name] = self
            _by_builtins[id(self._builtins)] = self

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """For the time when other code, such as pickle, loads the model: no frame is its own."""
        token = _active.set(self)
        try:
            yield
            register_by_value(self.name)
        finally:
            _active.reset(token)
            self._take_paths()

    def module(self, name: str) -> types.ModuleType:
        """The model's module of that plain name, imported if need be.

        Raises:
            ImportError: there is none, or its file has changed since it was listed.
            Exception: its code raised it.
        """
        if self.name not in _spaces:
            raise ImportError(f"module {name!r} is of a model that was unloaded", name=name)
        return importlib.import_module(f"{self.name}.{name}")

    def owns(self, name: str) -> bool:
        """Whether this is the plain name of a module of this model."""
        top = name.partition(".")[0]
        # Those are in the interpreter already, whatever file has the name.
        if top in sys.builtin_module_names:
            return False
        self._take_paths()
        found = self._find(top)
        return found is not None and (found.file is not None or not _is_elsewhere(top))

    def close(self) -> None:
        """Drops the modules. Functions that still run keep what they have imported."""
        with _lock:
            if _spaces.pop(self.name, None) is None:
                return
            _by_builtins.pop(id(self._builtins), None)
            for name in [name for name in sys.modules if f"{name}.".startswith(f"{self.name}.")]:
                # Only the names: objects of theirs live for as long as something holds them.
                del sys.modules[name]
            # An alias stays as long as any other model has a module of that name.
            aliases = [name for name, module in sys.modules.items() if type(module) is _Alias]
            for name in aliases:
                if not any(space._find(name.partition(".")[0]) for space in _spaces.values()):
                    del sys.modules[name]
        unregister_by_value(self.name)
        self._take_paths()

    def spec(self, name: str) -> importlib.machinery.ModuleSpec | None:
        """How to import the module of that plain name; None if there is none."""
        found = self._find(name)
        if found is None:
            return None
        places = [str(self.folder / found.folder)] if found.folder else None
        full = f"{self.name}.{name}"
        if found.file is None:
            spec = importlib.machinery.ModuleSpec(full, FolderLoader(), is_package=True)
            spec.submodule_search_locations = places
            return spec
        path = str(self.folder / found.file.path)
        kind = ListedSourceLoader if found.file.path.endswith(".py") else ListedExtensionLoader
        loader = kind(full, path, self)
        return importlib.util.spec_from_file_location(
            full, path, loader=loader, submodule_search_locations=places
        )

    def read(self, path: str) -> bytes:
        """The bytes of a file of the model.

        Raises:
            ImportError: they are not those that were listed.
        """
        name = os.path.relpath(path, self.folder)
        try:
            return files.read_listed(self.folder, self._files[name])
        except KeyError:
            raise ImportError(f"{name} is not among the files of the digest", path=path) from None
        except InvalidModel as error:
            raise ImportError(str(error), path=path) from error

    def set_builtins(self, module: types.ModuleType) -> None:
        """Gives a module its builtins, before its code runs."""
        module.__dict__["__builtins__"] = self._builtins

    def _find(self, name: str) -> _ModuleFile | None:
        if name not in self._found:
            place = name.replace(".", "/")
            found = (self._look(f"{root}{place}") for root in self._roots)
            self._found[name] = next(filter(None, found), None)
        return self._found[name]

    def _look(self, place: str) -> _ModuleFile | None:
        suffixes = (*importlib.machinery.EXTENSION_SUFFIXES, ".py")
        for suffix in suffixes:
            if file := self._files.get(f"{place}/__init__{suffix}"):
                return _ModuleFile(file, place)
        for suffix in suffixes:
            if file := self._files.get(f"{place}{suffix}"):
                return _ModuleFile(file)
        inside = (path for path in self._files if path.startswith(f"{place}/"))
        return _ModuleFile(None, place) if any(path.endswith(suffixes) for path in inside) else None

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> types.ModuleType:
        """The `__import__` of the model's own code."""
        # Relative imports are right by themselves: the model's modules have a package of their own.
        if level or not self.owns(name):
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = self.module(name)
        if isinstance(fromlist, list):  # C code as of pickle, which then looks into sys.modules
            _add_alias(name)
        if not fromlist:
            return sys.modules[f"{self.name}.{name.partition('.')[0]}"]
        return builtins.__import__(module.__name__, globals, locals, fromlist, 0)

    def _take_paths(self) -> None:
        """Moves entries of `sys.path` that lead into the model to this space."""
        if sys.path == self._seen_path:
            return
        for path in [path for path in sys.path if isinstance(path, str) and path]:
            inside = os.path.relpath(os.path.realpath(path), self.folder)
            if inside == ".." or inside.startswith("../"):
                continue
            with contextlib.suppress(ValueError):  # another thread was quicker
                sys.path.remove(path)
            root = "" if inside == "." else f"{inside}/"
            if root not in self._roots:
                self._roots.append(root)
                self._found.clear()
        self._seen_path = list(sys.path)


def _unused_name(name: str) -> str:
    """The name, with a number if another model of the same digest has it."""
    names = [name, *(f"{name}_{number}" for number in range(2, len(_spaces) + 3))]
    return next(free for free in names if free not in _spaces)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules of models: by their full names, and by plain names for their models' code."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        if rest and (space := _spaces.get(root)):
            return space.spec(rest)
        if not _spaces:
            return None
        asking = _calling_space()
        if asking is None or not asking.owns(fullname) or _is_elsewhere(root):
            return None
        if asking.spec(fullname) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Aliases(), is_package=True)


class _Aliases(importlib.abc.Loader):
    """Puts an alias into `sys.modules` if the caller's module can be imported."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        _calling_module(spec.name)
        return _Alias(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        return None


class _Alias(types.ModuleType):
    """The module of a plain name: for each caller that of the model on its stack."""

    def __getattribute__(self, name: str) -> Any:
        return getattr(_calling_module(object.__getattribute__(self, "__dict__")["__name__"]), name)

    def __setattr__(self, name: str, value: object) -> None:
        is_import_system = name.startswith("__") or type(value) is _Alias
        if not is_import_system:
            setattr(
                _calling_module(object.__getattribute__(self, "__dict__")["__name__"]), name, value
            )


def _add_alias(name: str) -> None:
    with _lock:
        if name not in sys.modules and not _is_elsewhere(name.partition(".")[0]):
            sys.modules[name] = _Alias(name)


def _calling_module(name: str) -> types.ModuleType:
    space = _calling_space()
    if space is None or not space.owns(name):
        raise AttributeError(f"module {name!r} belongs to a model, and is not imported by its code")
    return sys.modules.get(f"{space.name}.{name}") or space.module(name)


def _calling_space() -> ImportSpace | None:
    """The model whose code is nearest on the stack, or that is being loaded."""
    frame: FrameType | None = sys._getframe(1)
    # The nearest frame: a library that a model calls may call back into another model's code.
    while frame is not None:
        if space := _by_builtins.get(id(frame.f_builtins)):
            return space
        frame = frame.f_back
    return _active.get()


def _is_elsewhere(top: str) -> bool:
    """Whether a module of that name is installed for all code."""
    if top in sys.modules:
        return type(sys.modules[top]) is not _Alias
    others = (finder for finder in sys.meta_path if not isinstance(finder, _Finder))
    return any(finder.find_spec(top, None) for finder in others)
