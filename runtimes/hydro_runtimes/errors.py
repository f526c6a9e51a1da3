"""What can be wrong with a model.

ModelError            a model folder cannot be served
  InvalidModel        corrupt, incomplete or of an unknown format
  UnsupportedStage    a part of it is of a class that is not supported
  UntrustedModel      it would run code, and its digest is not on the list of trusted ones
"""

from __future__ import annotations


class ModelError(Exception):
    """A model folder cannot be served; `path` is the folder or file at fault."""

    def __init__(self, path: object, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = str(path)
        self.message = message


class InvalidModel(ModelError):
    """The folder is corrupt, incomplete or of an unknown format."""


class UnsupportedStage(ModelError):
    """A saved stage is of a class that is not supported; `name` is the class, `uid` its stage."""

    def __init__(self, path: object, name: str, uid: str, message: str) -> None:
        super().__init__(path, message)
        self.name = name
        self.uid = uid


class UntrustedModel(ModelError):
    """The model runs code when loaded, and its digest is not on the list of trusted ones."""

    def __init__(self, path: object, digest: str, message: str) -> None:
        super().__init__(path, message)
        self.digest = digest
