"""An import space for each loaded model: the modules beside it, found by plain name by it alone.

Modules of a model are in `sys.modules` under a name of their own, `model_<digest>.helper` for
`helper.py`. What makes `import helper` find it is the `__import__` in the builtins of the model's
own modules, which Python looks up where the statement runs: at any time, in any thread, and for no
other code. Who asks by a text (pickle, skops, `importlib.import_module`) gets an `_Alias` from
`sys.modules`, which is the module of the model that is on the caller's stack.

Source and compiled modules are read once, checked against the SHA-256 that was listed for the
digest, and run from those bytes. A name that is not listed, such as a .pyc file, is not there.
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
from types import CodeType, FrameType
from typing import Any

from hydro_runtimes import files
from hydro_runtimes.errors import InvalidModel

_DIGITS = 12
"""Of a digest, in the names of modules."""
_CLOUDPICKLES = ("cloudpickle", "joblib.externals.cloudpickle")
_lock = threading.RLock()
_spaces: dict[str, ImportSpace] = {}
"""Those that are open, by the name of their root package."""
_by_builtins: dict[int, ImportSpace] = {}
_active: contextvars.ContextVar[ImportSpace | None] = contextvars.ContextVar("space", default=None)


@dataclass(frozen=True, slots=True)
class _ModuleFile:
    """A module among the files of a model; a folder without __init__ has no file."""

    file: files.File | None
    folder: str = ""
    """Of a package."""


class ImportSpace:
    """The modules of one loaded model. Close it when nothing evaluates the model any more."""

    def __init__(self, folder: Path, listed: Sequence[files.File]) -> None:
        """With the files of the folder, whose digest is trusted."""
        self.folder = folder.resolve()
        self._files = {file.path: file for file in listed}
        self._roots = [""]
        self._seen_path: list[str] = []
        self._found: dict[str, _ModuleFile | None] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}
        digest = files.digest_of_files(listed)[:_DIGITS]
        with _lock:
            sys.dont_write_bytecode = True  # nor by what a model imports in ways of its own
            if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
                sys.meta_path.insert(0, _Finder())
            self.name = _unused_name(f"model_{digest}")
            root = types.ModuleType(self.name)
            root.__path__ = [str(self.folder)]
            sys.modules[self.name] = root
            _spaces[self.name] = self
            _by_builtins[id(self._builtins)] = self

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """While the model is loaded by other code than its own, such as pickle."""
        token = _active.set(self)
        try:
            yield
            _register_by_value(self.name)
        finally:
            _active.reset(token)
            self._take_paths()

    def module(self, name: str) -> types.ModuleType:
        """The model's module of that plain name, imported where it is not yet.

        Raises:
            ImportError: there is none, or its file is not the one that was listed.
            Exception: what its code raised.
        """
        if self.name not in _spaces:
            raise ImportError(f"module {name!r} is of a model that was unloaded", name=name)
        return importlib.import_module(f"{self.name}.{name}")

    def owns(self, name: str) -> bool:
        """Whether a plain name is that of a module of this model."""
        top = name.partition(".")[0]
        if top in sys.builtin_module_names:
            return False
        self._take_paths()
        found = self._find(top)
        return found is not None and (found.file is not None or not _is_elsewhere(top))

    def close(self) -> None:
        """Drops the modules. Functions that still run have what they have imported."""
        with _lock:
            if _spaces.pop(self.name, None) is None:
                return
            _by_builtins.pop(id(self._builtins), None)
            for name in [name for name in sys.modules if f"{name}.".startswith(f"{self.name}.")]:
                del sys.modules[name]
            aliases = [name for name, module in sys.modules.items() if type(module) is _Alias]
            for name in aliases:
                if not any(space._find(name.partition(".")[0]) for space in _spaces.values()):
                    del sys.modules[name]
        _unregister_by_value(self.name)
        self._take_paths()

    def spec(self, name: str) -> importlib.machinery.ModuleSpec | None:
        """How to import the module of that plain name; None: there is none."""
        found = self._find(name)
        if found is None:
            return None
        places = [str(self.folder / found.folder)] if found.folder else None
        full = f"{self.name}.{name}"
        if found.file is None:
            spec = importlib.machinery.ModuleSpec(full, _Folder(), is_package=True)
            spec.submodule_search_locations = places
            return spec
        path = str(self.folder / found.file.path)
        kind = _Source if found.file.path.endswith(".py") else _Compiled
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

    def enter(self, module: types.ModuleType) -> None:
        """Gives a module its builtins, before its code runs."""
        module.__dict__["__builtins__"] = self._builtins

    def _find(self, name: str) -> _ModuleFile | None:
        if name not in self._found:
            place = name.replace(".", "/")
            found = (self._look(f"{root}{place}") for root in self._roots)
            self._found[name] = next((each for each in found if each), None)
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
        if level or not self.owns(name):
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = self.module(name)
        if isinstance(fromlist, list):  # C code as of pickle, which then looks into sys.modules
            _add_alias(name)
        if not fromlist:
            return sys.modules[f"{self.name}.{name.partition('.')[0]}"]
        return builtins.__import__(module.__name__, globals, locals, fromlist, 0)

    def _take_paths(self) -> None:
        """Makes entries of `sys.path` that lead into the model this space's own."""
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
    """The name, or with a number where another model of the same digest has it."""
    names = [name, *(f"{name}_{number}" for number in range(2, len(_spaces) + 3))]
    return next(each for each in names if each not in _spaces)


class _Source(importlib.machinery.SourceFileLoader):
    """Compiles what was listed, always: a cached .pyc is no part of the digest."""

    def __init__(self, name: str, path: str, space: ImportSpace) -> None:
        super().__init__(name, path)
        self._space = space

    def get_data(self, path: str) -> bytes:
        return self._space.read(path)

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: types.ModuleType) -> None:
        self._space.enter(module)
        super().exec_module(module)


class _Compiled(importlib.machinery.ExtensionFileLoader):
    """Runs a copy in memory, which nobody can change between the check and the call."""

    def __init__(self, name: str, path: str, space: ImportSpace) -> None:
        super().__init__(name, path)
        self._space = space

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        copy = os.memfd_create(spec.name)  # stays open: libraries are known by their path
        with os.fdopen(copy, "wb", closefd=False) as file:
            file.write(self._space.read(self.path))
        origin = f"/proc/self/fd/{copy}"
        return super().create_module(importlib.machinery.ModuleSpec(spec.name, self, origin=origin))


class _Folder(importlib.abc.Loader):
    """Of a package that is a folder without an __init__."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        return None


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of models: by their own names, and by plain name for who may have them."""

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
    """Puts an alias into `sys.modules` once the caller's module could be imported."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        _calling_module(spec.name)
        return _Alias(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        return None


class _Alias(types.ModuleType):
    """A plain name that models have: to each caller the module of the model on its stack."""

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
        raise AttributeError(f"module {name!r} is a model's own, and no model asks for it")
    return sys.modules.get(f"{space.name}.{name}") or space.module(name)


def _calling_space() -> ImportSpace | None:
    """The model whose code is nearest on the stack, or that is being loaded."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if space := _by_builtins.get(id(frame.f_builtins)):
            return space
        frame = frame.f_back
    return _active.get()


def _is_elsewhere(top: str) -> bool:
    """Whether a module of that name is there for everybody."""
    if top in sys.modules:
        return type(sys.modules[top]) is not _Alias
    others = (finder for finder in sys.meta_path if not isinstance(finder, _Finder))
    return any(finder.find_spec(top, None) for finder in others)


def _register_by_value(name: str) -> None:
    """Has processes of joblib get functions and classes of the model whole: they cannot import."""
    for pickler in filter(None, map(sys.modules.get, _CLOUDPICKLES)):
        pickler.register_pickle_by_value(sys.modules[name])


def _unregister_by_value(name: str) -> None:
    for pickler in filter(None, map(sys.modules.get, _CLOUDPICKLES)):
        with contextlib.suppress(ValueError):
            pickler.unregister_pickle_by_value(types.ModuleType(name))
