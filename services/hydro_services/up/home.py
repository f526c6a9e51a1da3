"""The data folder of a mesh that runs, as commands on the same machine find and use it.

The manager tells the folder's URL; a file in it, which its owner alone can read, has the rest.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from hydro_services.errors import FailedPrecondition
from hydro_services.security import private_files

MESH_FILE, TRUSTED_FILE = "mesh.json", "trusted.txt"


@dataclass(frozen=True, slots=True)
class Home:
    """What a command on the same machine has to know of a mesh."""

    models: Path | None
    """The folder of models; None: all of its models are in stores."""
    trusted: Path
    """The digests of models that may run code."""


def trusted_file(data: Path) -> Path:
    """The file of trusted digests, unless another is given."""
    return data / TRUSTED_FILE


def url(data: Path) -> str:
    """RFC 8089: the folder, and which machine has it."""
    return f"file://{quote(socket.gethostname())}{quote(str(data.absolute()))}"


def write(data: Path, models: Path | None, trusted: Path) -> None:
    """Writes down what `read` reads."""
    folder = str(models.absolute()) if models else None
    document = {"models": folder, "trusted": str(trusted.absolute())}
    private_files.write_private(data / MESH_FILE, json.dumps(document, indent=1).encode())


def read(home: str) -> Home:
    """The mesh whose manager tells this URL.

    Raises:
        FailedPrecondition: it runs on another machine, or is another user's, or `hydro up` does not
            run it.
    """
    way_out = "give its folder of models by --models, and its list of trusted digests by --trusted"
    if not home:
        raise FailedPrecondition(f"`hydro up` does not run this mesh; {way_out}")
    parts = urlsplit(home)
    host, data = unquote(parts.netloc), Path(unquote(parts.path))
    if host.lower() != socket.gethostname().lower():
        raise FailedPrecondition(f"the mesh runs on another machine, {host}; run this there")
    try:
        document = json.loads((data / MESH_FILE).read_bytes())
        models = document["models"]
        return Home(Path(models) if models else None, Path(document["trusted"]))
    except OSError as error:
        raise FailedPrecondition(f"{data} of the mesh: {error.strerror}; {way_out}") from error
