"""Finds an Envoy on this machine that is new enough."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from pathlib import Path

from hydro_envoy.errors import EnvoyNotFound, EnvoyTooOld

OLDEST = (1, 40, 0)
"""Has the filter_chain filter, and fixes of ext_proc that our configuration needs."""


async def find_envoy() -> Path:
    """The Envoy of this Python's environment, else the one on PATH.

    Raises:
        EnvoyNotFound: there is none.
        EnvoyTooOld: it is older than `OLDEST`.
    """
    beside = str(Path(sys.executable).parent)
    path = shutil.which("envoy", path=beside) or shutil.which("envoy")
    if path is None:
        raise EnvoyNotFound([beside, "PATH"])
    process = await asyncio.create_subprocess_exec(
        path, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    check_version(path, output.decode(errors="replace"))
    return Path(path)


def check_version(path: str, output: str) -> None:
    """Refuses an Envoy whose `--version` is below `OLDEST` or not readable.

    Raises:
        EnvoyTooOld: so.
    """
    version = re.search(r"/(\d+)\.(\d+)\.(\d+)", output)
    if version is None or tuple(map(int, version.groups())) < OLDEST:
        got = version.group(0)[1:] if version else repr(output.strip()[:80])
        raise EnvoyTooOld(path, got, ".".join(map(str, OLDEST)))
