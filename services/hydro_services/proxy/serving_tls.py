"""The certificate that a gateway shows to clients: read from files, and again when they change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import awatch

from hydro_envoy.nodes import SERVER
from hydro_envoy.proxy.manager_cluster import secret_json
from hydro_services.errors import InvalidArgument
from hydro_services.security.private_files import write_private

logger = logging.getLogger(__name__)

DEBOUNCE_MS = 200
"""Certificate and key change one after the other."""


@contextlib.asynccontextmanager
async def keep_server_secret(certificate: Path, key: Path, folder: Path) -> AsyncIterator[Path]:
    """A file with both, as Envoy watches it; renewed with them until the context ends.

    What does not fit together, such as a certificate whose key is not there yet, is left out: the
    last that did stays.

    Raises:
        InvalidArgument: they cannot be read, or do not fit together.
    """
    file = _absolute(folder) / "tls" / "server.json"
    # Before it is watched: what cannot be used now is the caller's error, not a line in the log.
    _write_secret(certificate, key, file)
    watching = asyncio.create_task(_watch_files(certificate, key, file))
    try:
        yield file
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def _watch_files(certificate: Path, key: Path, file: Path) -> None:
    folders = {_absolute(each).parent for each in (certificate, key)}
    async for _ in awatch(*folders, debounce=DEBOUNCE_MS, recursive=False):
        try:
            _write_secret(certificate, key, file)
        except InvalidArgument as error:
            logger.warning("certificate not taken", extra={"error": error.message})


def _write_secret(certificate: Path, key: Path, file: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        content = secret_json(certificate.read_bytes(), key.read_bytes(), SERVER)
    except (OSError, ValueError) as error:
        want = "want PEM files of a certificate and its key, not encrypted"
        raise InvalidArgument(f"cannot use {certificate} and {key}: {error}; {want}") from error
    write_private(file, content.encode())


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
