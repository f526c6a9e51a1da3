"""The mesh's token, with which parts on one machine show each other that they have one owner.

It is in a file that only its owner can read. Whoever has it may register a process, may ask for the
configuration of Envoys, which has hashes of API keys in it, and may tell runtimes what to load.
Between machines, where there are sidecars, certificates do the same.
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
from hydro_envoy.xds.credential import WANTED, has_token, traffic_token
from hydro_services import rpc
from hydro_services.errors import FailedPrecondition, Unauthenticated
from hydro_services.security import private_files

logger = logging.getLogger(__name__)

TOKEN_FILE = "token"
"""The name of its file in the manager's data folder."""
POLL_S = 0.2

Metadata: TypeAlias = tuple[tuple[str, str], ...]
TokenCheck: TypeAlias = Callable[[Iterable[tuple[str, str | bytes]], str], None]


def make_token(path: Path) -> str:
    """The token in a file. It is made if need be; of processes that do so at once, one succeeds.

    Raises:
        FailedPrecondition: it cannot be made or read.
    """
    with contextlib.suppress(FileNotFoundError):
        token = read_token(path)
        private_files.warn_if_readable(path)
        return token
    path.parent.mkdir(mode=private_files.FOLDER_MODE, parents=True, exist_ok=True)
    # Written under another name first: whoever waits for the file must never read half of a token.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
        # A link, unlike a rename, leaves the file of who was quicker.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    except OSError as error:
        raise FailedPrecondition(f"cannot make {path}: {error.strerror}") from error
    finally:
        os.unlink(name)
    return read_token(path)


def make_check(path: Path | None, service: str, look: TokenCheck | None = None) -> rpc.Check | None:
    """A look at all calls of a service; none where nothing has to be shown.

    Args:
        path: of the token's file; who comes before it is there is refused.
        service: the full name.
        look: how to check: `check_token`, the default, or `check_traffic`.
    """
    if path is None:
        return None

    def check_call(method: str, metadata: rpc.Metadata) -> None:
        if method.startswith(f"/{service}/"):
            (look or check_token)(metadata, _require_token(path))

    return check_call


def _require_token(path: Path) -> str:
    try:
        return read_token(path)
    except FileNotFoundError:
        raise Unauthenticated(f"there is no {path} yet; {WANTED}") from None


def read_token(path: Path) -> str:
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
    # It becomes a header: a line break in it could add headers of its own.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise FailedPrecondition(f"{path} does not hold a token, want one line of visible ASCII")
    return text


async def wait_for_token(path: Path) -> str:
    """The token in a file, as soon as there is one.

    Raises:
        FailedPrecondition: as `read_token`.
    """
    is_logged = False
    while True:
        with contextlib.suppress(FileNotFoundError):
            return read_token(path)
        if not is_logged:
            way_out = "the manager makes it; is it another with --token-file or HYDRO_TOKEN_FILE?"
            logger.warning("waiting for %s: %s", path, way_out)
        is_logged = True
        await asyncio.sleep(POLL_S)


def token_metadata(path: Path | None) -> Metadata:
    """The metadata of a call that shows the token; () where there is no token, or no file of one.

    Raises:
        FailedPrecondition: as `read_token`.
    """
    if path is None:
        return ()
    with contextlib.suppress(FileNotFoundError):
        return ((MESH_TOKEN, read_token(path)),)
    return ()


class TrafficChecker:
    """Checks calls with rows, which come from Envoys alone; the token is read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wanted = ""

    def check(self, shown: Mapping[str, str]) -> None:
        """Checks what a call shows against what Envoys show.

        Raises:
            Unauthenticated: it differs; the message says where the token is.
        """
        # Once: a file that is read for each row's call would be most of the work.
        if not self._wanted:
            self._wanted = traffic_token(_require_token(self._path))
        if not has_token(shown.items(), self._wanted):
            raise Unauthenticated(WANTED)


def check_traffic(shown: Iterable[tuple[str, str | bytes]], token: str) -> None:
    """Checks that a call shows the token, or what Envoys show.

    Raises:
        Unauthenticated: it shows neither.
    """
    shown = tuple(shown)
    if not (has_token(shown, traffic_token(token)) or has_token(shown, token)):
        raise Unauthenticated(WANTED)


def check_token(shown: Iterable[tuple[str, str | bytes]], token: str) -> None:
    """Checks that a call shows the token.

    Raises:
        Unauthenticated: it does not; the message says where the token is.
    """
    if not has_token(shown, token):
        raise Unauthenticated(WANTED)
