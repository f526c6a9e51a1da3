"""The folder of a model that is loaded or described: its files, its trust, its metadata.json."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from hydro_runtimes import files, metadata, mlflow_folder
from hydro_runtimes.errors import InvalidModel, UntrustedModel
from hydro_runtimes.evaluator import Field, Signature

T = TypeVar("T")


class ModelFolder:
    """What a format's loader is given. The files are hashed only if it asks for them."""

    def __init__(self, path: Path, trusted: Container[str] = ()) -> None:
        """`trusted`: digests (`files.digest_folder`) of folders that may run code when loaded."""
        self.path = path
        self._trusted = trusted

    @cached_property
    def files(self) -> tuple[files.File, ...]:
        """As they are when first asked for: what is loaded later has to have these hashes."""
        return files.list_files(self.path)

    @cached_property
    def digest(self) -> str:
        return files.digest_of_files(self.files)

    @property
    def is_trusted(self) -> bool:
        """Whether it may run code when it is loaded."""
        return self.digest in self._trusted

    def require_trust(self, why: str) -> None:
        """Refuses a folder that may not run code.

        Raises:
            UntrustedModel: the message tells `why` it needs trust, and the way out.
        """
        if not self.is_trusted:
            raise UntrustedModel(
                self.path,
                self.digest,
                f"{why}, and its digest is not trusted: if you trust who made it, "
                f"add {self.digest} to the trusted digests",
            )

    def read_signature(self) -> Signature:
        """The columns that metadata.json states; or else MLflow, if it saved the folder.

        Raises:
            InvalidModel: neither states them.
        """
        if self._is_mlflows():
            return mlflow_folder.read_signature(self.path)
        return self.read_metadata(metadata.parse_signature)

    def read_stated(self) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
        """The inputs and outputs that are stated beside a model that tells them itself.

        Returns:
            () for those that are not.

        Raises:
            InvalidModel: they are not as wanted.
        """
        if self._is_mlflows():
            return mlflow_folder.read_inputs(self.path), ()
        if not (self.path / files.METADATA).is_file():
            return (), ()
        return self.read_metadata(metadata.parse_stated)

    def _is_mlflows(self) -> bool:
        has_own = (self.path / files.METADATA).is_file()
        return not has_own and mlflow_folder.is_mlflow(self.path)

    def read_metadata(self, parse: Callable[[bytes], T], below: Path | None = None) -> T:
        """What a function of `metadata` makes of metadata.json.

        Args:
            parse: given the file's content, at most `metadata.MAX_BYTES` and one.
            below: the folder that has it; None: this one.

        Raises:
            InvalidModel: there is no such file, or it does not say what is wanted.
        """
        folder = below or self.path
        try:
            with files.open_regular(folder / files.METADATA) as stream:
                return parse(stream.read(metadata.MAX_BYTES + 1))
        except OSError as error:
            message = (
                f"{files.METADATA} cannot be read ({error.strerror}): want the model's columns"
            )
            raise InvalidModel(folder, f"{message} in it") from error
        except ValueError as error:
            raise InvalidModel(folder, str(error)) from error
