"""What is to be deployed, on this machine: a path, or a copy of what the URL of a store names."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from hydro_runtimes import files
from hydro_services.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from hydro_services.repository.roots import Root
from hydro_services.repository.source import FileChanged, Stamp
from hydro_services.repository.stores.hide_secrets import hide_secrets
from hydro_services.repository.stores.open_store import make_store, silence_libraries
from hydro_services.repository.stores.store import ModelStore


@contextlib.contextmanager
def open_source(model: str) -> Iterator[Path]:
    """The file or folder that a path or an URL names.

    Raises:
        NotFound: there is none.
        InvalidArgument, FailedPrecondition: the URL is of no known store; its library is missing.
        Unavailable: the store does not answer as it should.
    """
    root = parse_root(model)
    if not root.scheme:
        if not root.folder.exists():
            raise NotFound(f"no file or folder {model}; want a saved model")
        yield root.folder
        return
    with tempfile.TemporaryDirectory(prefix="hydro-deploy-") as folder:
        target = Path(folder) / root.place.rpartition("/")[2]
        silence_libraries()
        try:
            _download(root, target)
        except (FailedPrecondition, NotFound):
            raise
        except FileChanged as error:
            raise Unavailable(f"{root.text} changed while it was read; try again") from error
        except Exception as error:
            raise Unavailable(f"{root.text}: {hide_secrets(str(error))}") from None
        yield _innermost(target)


def _innermost(path: Path) -> Path:
    """A folder without those around it that hold nothing else, as registries list a model."""
    inside = [*path.iterdir()] if path.is_dir() else []
    is_around = len(inside) == 1 and inside[0].is_dir()
    return _innermost(inside[0]) if is_around else path


def parse_root(text: str) -> Root:
    """The path, or the place in a store.

    Raises:
        InvalidArgument, FailedPrecondition: as `open_source`.
    """
    try:
        root = Root.parse(text)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None
    if not root.scheme:
        return root
    if fault := root.find_fault(lambda name: importlib.util.find_spec(name) is not None):
        raise FailedPrecondition(fault)
    if "://" in root.text and root.text.count("/") < 3:
        raise InvalidArgument(f"{root.text} is a whole store; want a file or a folder in it")
    return root


def _download(root: Root, target: Path) -> None:
    """Of a folder all files; of a file this one, which its store lists in the folder around it."""
    store = make_store(root.scheme, root.place)
    objects = store.list_objects()
    if objects:
        target.mkdir()
        _copy(store, objects, target)
        return
    around, _, name = root.place.rpartition("/")
    store = make_store(root.scheme, around)
    objects = store.list_objects()
    if name not in objects:
        raise NotFound(f"nothing is at {root.text}; want the file or folder of a saved model")
    _copy(store, {name: objects[name]}, target.parent)


def _copy(store: ModelStore, objects: Mapping[str, Stamp], target: Path) -> None:
    size_bytes = sum(stamp.size_bytes for stamp in objects.values())
    if len(objects) > files.MAX_ENTRIES or size_bytes > files.MAX_BYTES:
        message = f"{len(objects)} objects of {size_bytes} bytes together"
        raise FailedPrecondition(f"{message}; want at most {files.MAX_ENTRIES}, {files.MAX_BYTES}")
    for path, stamp in objects.items():
        file = target / path
        if not file.resolve().is_relative_to(target.resolve()):
            raise FailedPrecondition(f"the store has an object {path!r}, which leads elsewhere")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        store.download(path, stamp, file)
