"""The mesh's token: by what the parts of one machine know that they have the same owner.

It lies in a file that only its owner can read. Who can read that may register a process, and may
ask for Envoys' configurations, which have hashes of API keys in them; and runtimes take orders from
nobody else. Where there are sidecars, certificates do the same between machines.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from hydro_envoy.headers import MESH_TOKEN
from hydro_envoy.xds.credential import WANTED, is_shown, of_traffic
from hydro_services import rpc
from hydro_services.errors import FailedPrecondition, Unauthenticated
from hydro_services.security import private_files

logger = logging.getLogger(__name__)

NAME = "token"
"""Of its file in the manager's data folder."""
POLL_S = 0.2

Metadata: TypeAlias = tuple[tuple[str, str], ...]
Look: TypeAlias = Callable[[Iterable[tuple[str, str | bytes]], str], None]


def make(path: Path) -> str:
    """The token in a file, which is made if need be; of many who make it at once, one does.

    Raises:
        FailedPrecondition: it cannot be made or read.
    """
    with contextlib.suppress(FileNotFoundError):
        found = read(path)
        private_files.warn_if_readable(path)
        return found
    path.parent.mkdir(mode=private_files.FOLDER, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    except OSError as error:
        raise FailedPrecondition(f"cannot make {path}: {error.strerror}") from error
    finally:
        os.unlink(name)
    return read(path)


def checker(path: Path | None, service: str, look: Look | None = None) -> rpc.Check | None:
    """A look at all calls of a service; none where nothing has to be shown.

    Args:
        path: of the token's file; who comes before it is there is refused.
        service: the full name.
        look: `check`, unless it is `check_traffic`.
    """
    if path is None:
        return None

    def check_call(method: str, metadata: rpc.Metadata) -> None:
        if method.startswith(f"/{service}/"):
            (look or check)(metadata, _read_now(path))

    return check_call


def _read_now(path: Path) -> str:
    try:
        return read(path)
    except FileNotFoundError:
        raise Unauthenticated(f"there is no {path} yet; {WANTED}") from None


def read(path: Path) -> str:
    """The token in a file.

    Raises:
        FileNotFoundError: there is none.
        FailedPrecondition: it cannot be read, or is empty or malformed.
    """
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FailedPrecondition(f"cannot read the token in {path}: {reason.lower()}") from error
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise FailedPrecondition(f"what {path} has is no token, want one line of visible ASCII")
    return text


async def wait(path: Path) -> str:
    """The token in a file, as soon as there is one.

    Raises:
        FailedPrecondition: as `read`.
    """
    is_told = False
    while True:
        with contextlib.suppress(FileNotFoundError):
            return read(path)
        if not is_told:
            way_out = "the manager makes it; is it another with --token-file or HYDRO_TOKEN_FILE?"
            logger.warning("waiting for %s: %s", path, way_out)
        is_told = True
        await asyncio.sleep(POLL_S)


def metadata(path: Path | None) -> Metadata:
    """What a call has to show; nothing where there is no token to be had, or none is needed.

    Raises:
        FailedPrecondition: as `read`.
    """
    if path is None:
        return ()
    with contextlib.suppress(FileNotFoundError):
        return ((MESH_TOKEN, read(path)),)
    return ()


class TrafficChecker:
    """A look at all calls with rows, which come from Envoys alone; the token is read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wanted = ""

    def check(self, shown: Mapping[str, str]) -> None:
        """Refuses a call that does not show what Envoys do.

        Raises:
            Unauthenticated: so; the message says where the token is.
        """
        if not self._wanted:
            self._wanted = of_traffic(_read_now(self._path))
        if not is_shown(shown.items(), self._wanted):
            raise Unauthenticated(WANTED)


def check_traffic(shown: Iterable[tuple[str, str | bytes]], token: str) -> None:
    """Refuses a call that shows neither the token nor what Envoys show.

    Raises:
        Unauthenticated: so.
    """
    shown = tuple(shown)
    if not (is_shown(shown, of_traffic(token)) or is_shown(shown, token)):
        raise Unauthenticated(WANTED)


def check(shown: Iterable[tuple[str, str | bytes]], token: str) -> None:
    """Refuses a call that does not show the token.

    Raises:
        Unauthenticated: so; the message says where the token is.
    """
    if not is_shown(shown, token):
        raise Unauthenticated(WANTED)
