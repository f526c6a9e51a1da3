"""The example client, run as a user runs it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from clients import Clients
from whole_mesh import ROOT, environment

pytestmark = pytest.mark.e2e


async def test_example_client_asks_for_all_rows_and_then_row_by_row(clients: Clients) -> None:
    command = [sys.executable, "examples/client.py", clients.mesh.address("gateway")]
    done = await asyncio.to_thread(
        lambda: subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60
        )
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Predict: no",
        "Predict: yes",
        "PredictStream: no",
        "PredictStream: yes",
    ]
