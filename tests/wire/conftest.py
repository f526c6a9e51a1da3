"""What tests against real servers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from consul_agent import Agent, running


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """One that keeps nothing on disk."""
    started = Agent(tmp_path / "consul", dev=True)
    with running(started):
        yield started
