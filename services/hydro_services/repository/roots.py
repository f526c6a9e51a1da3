"""Where models are: the folders and stores that `--models` names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Scheme:
    """A kind of store."""

    module: str
    """The library that it is reached by, as it is imported."""
    package: str
    """What to install for it."""
    place: re.Pattern[str]
    """What an URL has after the scheme."""
    example: str


_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_BUCKET = re.compile(r"//[A-Za-z0-9][A-Za-z0-9._-]*(/.*)?")
SCHEMES = {
    "s3": Scheme("s3fs", "hydro-serving[s3]", _BUCKET, "s3://BUCKET/PREFIX"),
    "gs": Scheme("gcsfs", "hydro-serving[gcs]", _BUCKET, "gs://BUCKET/PREFIX"),
    "az": Scheme("adlfs", "hydro-serving[azure]", _BUCKET, "az://CONTAINER/PREFIX"),
    "hf": Scheme(
        "huggingface_hub",
        "hydro-serving[hf]",
        re.compile(rf"//{_NAME}/{_NAME}(@[^/]+)?(/.*)?"),
        "hf://ORG/NAME[@REVISION][/PREFIX]",
    ),
    "oci": Scheme(
        "oras",
        "hydro-serving[oci]",
        re.compile(
            rf"//({_NAME}|\[[0-9a-fA-F:]+\])(:[0-9]+)?/[a-z0-9._/-]+(:{_NAME})?(@sha256:[0-9a-f]+)?"
        ),
        "oci://HOST[:PORT]/REPOSITORY[:TAG]",
    ),
    "models": Scheme(
        "mlflow",
        "mlflow-skinny",  # in no extra: it brings files of xds-protos anew
        re.compile(r"/[^/@]+([/@][^/@]+)?"),
        "models:/NAME[/STAGE|/VERSION|@ALIAS]",
    ),
}


@dataclass(frozen=True, slots=True)
class Root:
    """A place of models: a folder of this machine, or the URL of a store, without credentials."""

    text: str
    """As `--models` names it."""

    @classmethod
    def parse(cls, text: str) -> Root:
        """A root of its text, which no error shows where it may have credentials.

        Raises:
            ValueError: it is empty, of no known store, or has credentials.
        """
        if not text:
            raise ValueError("got nothing, want a folder of models, or the URL of a store")
        scheme = _scheme(text)
        if not scheme:
            return cls(text)
        if scheme not in SCHEMES:
            known = ", ".join(each.example for each in SCHEMES.values())
            raise ValueError(f"got a URL of {scheme!r}, want a folder or one of {known}")
        _check_place(scheme, text)
        return cls(text.rstrip("/"))

    @property
    def scheme(self) -> str:
        """Of a store's URL; empty for a folder."""
        return _scheme(self.text)

    @property
    def folder(self) -> Path:
        """The folder, if it is one."""
        return Path(self.text)

    @property
    def place(self) -> str:
        """Of a store's URL: what follows the scheme."""
        return self.text.partition(":")[2].strip("/")

    @property
    def name(self) -> str:
        """The last part of a store's URL, without a tag, a revision or a digest."""
        return re.split("[@:]", self.place.rpartition("/")[2])[0]

    def find_fault(self, is_installed: Callable[[str], bool]) -> str:
        """Why models cannot be had from it, and the way out; empty if they may.

        Args:
            is_installed: whether a module can be imported.
        """
        if not self.scheme:
            way_out = "`hydro init` makes one; or name another by --models"
            return "" if self.folder.is_dir() else f"no folder {self.text}; {way_out}"
        library = SCHEMES[self.scheme]
        if is_installed(library.module):
            return ""
        way_out = f"pip install '{library.package}'"
        return f"{self.text} needs {library.module}, which is not installed; {way_out}"


def _scheme(text: str) -> str:
    """Of an URL; MLflow's have no host."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://|(models):/", text)
    return (found[1] or found[2]).lower() if found else ""


def _check_place(scheme: str, text: str) -> None:
    parts = urlsplit(text)
    want = f"want {SCHEMES[scheme].example}"
    if parts.query or parts.fragment or "@" in parts.netloc:
        way_out = "credentials come from the environment or the library's own files"
        raise ValueError(f"got a URL of {scheme!r} with a user or a query, {want}; {way_out}")
    if not SCHEMES[scheme].place.fullmatch(text.partition(":")[2]):
        raise ValueError(f"got a URL of {scheme!r} that is not understood, {want}")


def parse_roots(text: str) -> tuple[Root, ...]:
    """One root or more, separated by commas; the path of a folder that is there may have some.

    Raises:
        ValueError: as `Root.parse`.
    """
    texts = [text] if Path(text).is_dir() else text.split(",")
    return tuple(dict.fromkeys(map(Root.parse, texts)))


def make_labels(roots: tuple[Root, ...]) -> tuple[str, ...]:
    """What stands before paths in messages: nothing where one root has all models."""
    return ("",) if len(roots) == 1 else tuple(root.text.rstrip("/") for root in roots)


def make_names(roots: tuple[Root, ...]) -> tuple[str, ...]:
    """How roots are named: not at all if one folder has all models."""
    is_alone = len(roots) == 1 and not roots[0].scheme
    return tuple("" if is_alone else root.text.rstrip("/") for root in roots)
