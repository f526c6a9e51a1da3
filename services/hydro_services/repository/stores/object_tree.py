"""Objects as a tree of folders, by the `/` in their paths. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hydro_runtimes import files, model_formats
from hydro_services.repository.source import Key, ModelFiles, Stamp


@dataclass(slots=True)
class Folder:
    """What is in a folder. An object may have the name of a folder, too."""

    objects: dict[str, Stamp] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)

    @property
    def is_marked(self) -> bool:
        return model_formats.is_marked(self.objects.keys() | self.folders.keys())


class ObjectTree:
    """All objects of a root that count; see `versions.Tree`."""

    def __init__(self, objects: Mapping[str, Stamp], home: Key) -> None:
        """`home`: the framework and name of the model, if the root itself is one."""
        self.root = Folder()
        for path, stamp in objects.items():
            *parents, name = path.split("/")
            if all(map(_counts, (*parents, name))):
                _make_folder(self.root, parents).objects[name] = stamp
        self.home: Key = ()
        """The folders that are not in the store: those around a root that is a model."""
        if self.root.is_marked:
            self.home = home
            for part in reversed(home):
                self.root = Folder(folders={part: self.root})

    def folders(self, key: Key) -> list[str]:
        """As `versions.Tree.folders`."""
        return sorted(self._find(key).folders)

    def is_marked(self, key: Key) -> bool:
        """As `versions.Tree.is_marked`."""
        return self._find(key).is_marked

    def is_outside(self, key: Key) -> bool:
        """Objects have no links."""
        return False

    def list_files(self, key: Key, skipped: frozenset[str], changed_ns: int) -> ModelFiles:
        """As `ModelSource.list_files`; the names in it have to be possible in one folder."""
        stamps = dict(sorted(_walk(self._find(key), skipped)))
        return ModelFiles(tuple(stamps.items()), _find_problem(stamps), skipped, changed_ns)

    def _find(self, key: Key) -> Folder:
        folder = self.root
        for part in key:
            folder = folder.folders.get(part, _NOTHING)
        return folder


_NOTHING = Folder()


def _counts(name: str) -> bool:
    """As in folders, see `files.list_entries`. Stores mark folders by an object without a name."""
    return bool(name) and not name.startswith(".") and name != "__pycache__"


def _make_folder(folder: Folder, parts: list[str]) -> Folder:
    for part in parts:
        folder = folder.folders.setdefault(part, Folder())
    return folder


def _walk(
    folder: Folder, skipped: frozenset[str] = frozenset(), parent: str = ""
) -> Iterator[tuple[str, Stamp]]:
    for name, stamp in folder.objects.items():
        yield parent + name, stamp
    for name, below in folder.folders.items():
        if name not in skipped:
            yield from _walk(below, parent=f"{parent}{name}/")


def _find_problem(stamps: Mapping[str, Stamp]) -> str:
    """Why objects cannot be the files of a folder of a model; limits are those of `files`."""
    if len(stamps) > files.MAX_ENTRIES:
        return f"more than {files.MAX_ENTRIES} files in one model"
    if sum(stamp.size_bytes for stamp in stamps.values()) > files.MAX_BYTES:
        return f"more than {files.MAX_BYTES} bytes in the files of one model"
    for path in stamps:
        if len(path.encode("utf-8", "surrogatepass")) > files.MAX_PATH_BYTES:
            return f"path of over {files.MAX_PATH_BYTES} bytes: {path[:80]!r}…"
        parents = path.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            if (parent := "/".join(parents[:depth])) in stamps:
                return f"{parent!r} is a file and a folder, want either; rename one"
    return ""
