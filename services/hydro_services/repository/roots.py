"""Where models are: the folders and stores that `--models` names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Root:
    """A place of models: a folder of this machine."""

    text: str
    """As `--models` names it."""

    @classmethod
    def parse(cls, text: str) -> Root:
        """A root of its text.

        Raises:
            ValueError: it is empty.
        """
        if not text:
            raise ValueError("got nothing, want a folder of models")
        return cls(text)

    @property
    def folder(self) -> Path:
        """The folder."""
        return Path(self.text)


def parse_roots(text: str) -> tuple[Root, ...]:
    """One root or more, separated by commas; the path of a folder that is there may have some.

    Raises:
        ValueError: as `Root.parse`.
    """
    texts = [text] if Path(text).is_dir() else text.split(",")
    return tuple(dict.fromkeys(map(Root.parse, texts)))


def make_labels(roots: tuple[Root, ...]) -> tuple[str, ...]:
    """What stands before paths in messages: nothing where one folder has all models."""
    return ("",) if len(roots) == 1 else tuple(root.text.rstrip("/") for root in roots)
