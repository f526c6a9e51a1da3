"""Which folders of a tree are models, and which of them are versions. Pure.

`<framework>/<model>` with a model's files, or `<framework>/<model>/<version>` with a version's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from hydro_services.repository import catalogue
from hydro_services.repository.source import Key


class Tree(Protocol):
    """The folders of a source, from its root: ()."""

    def folders(self, key: Key) -> list[str]:
        """The names of the folders in a folder; none where it is gone."""
        ...

    def is_marked(self, key: Key) -> bool:
        """Whether a folder looks like a model (see `formats.is_marked`), or cannot be read."""
        ...

    def is_outside(self, key: Key) -> bool:
        """Whether a folder is a link that leads out of the source: nothing in it is looked at."""
        ...


def find_models(tree: Tree) -> Iterator[tuple[Key, frozenset[str]]]:
    """All folders that look like models, also those that will be refused.

    Yields:
        The model's key, and the names of the folders in it that are versions of their own.
    """
    for framework in tree.folders(()):
        for model in tree.folders((framework,)):
            yield from _find_versions(tree, (framework, model))


def _find_versions(tree: Tree, key: Key) -> Iterator[tuple[Key, frozenset[str]]]:
    """The model's folder itself if it looks like a model, and its folders that do."""
    if tree.is_outside(key):
        yield key, frozenset()
        return
    is_flat = tree.is_marked(key)
    names = [name for name in tree.folders(key) if _is_version(tree, key, name, is_flat)]
    if len(names) == 1 and not catalogue.is_version(names[0]):
        is_flat, names = True, []  # the folder around a model
    if is_flat:
        yield key, frozenset(names)
    for name in names:
        yield (*key, name), frozenset()


def _is_version(tree: Tree, key: Key, name: str, is_flat: bool) -> bool:
    """Beside a model's files, other folders are a part of the model, whatever is in them."""
    below = (*key, name)
    if is_flat and (not catalogue.is_version(name) or tree.is_outside(below)):
        return False
    if tree.is_outside(below) or tree.is_marked(below):
        return True
    return catalogue.is_version(name) and any(
        tree.is_marked((*below, inner)) for inner in tree.folders(below)
    )
