"""Connections beyond what Envoy's process may open are refused, counted and logged."""

from __future__ import annotations

import logging
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from control_mesh import ControlMesh
from patience import PATIENCE_S
from whole_mesh import until

from hydro_envoy.proxy import connections, process

pytestmark = pytest.mark.e2e

MOST = 40


def limits_of(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text()


async def test_connections_beyond_the_limit_are_refused_counted_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "connection_limit", lambda: MOST)
    monkeypatch.setattr(process, "_REFUSED_S", 0.1)
    caplog.set_level(logging.WARNING)
    async with ControlMesh(tmp_path) as mesh:
        with ExitStack() as opened:
            for _ in range(2 * MOST):
                opened.enter_context(socket.create_connection(("127.0.0.1", mesh.port)))
            await until(
                lambda: "envoy refused connections" in caplog.text, PATIENCE_S, "it is logged"
            )
            assert mesh.envoy
            limits = limits_of(mesh.envoy.pid)
        hard = str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        (line,) = (each for each in limits.splitlines() if each.startswith("Max open files"))
        assert line.split()[3:5] == [hard, hard]
