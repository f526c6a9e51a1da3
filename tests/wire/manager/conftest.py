"""A manager with runtimes and an Envoy, in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from manager_mesh import (
    Mesh,
)


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Mesh]:
    """A manager alone."""
    mesh = Mesh(tmp_path)
    async with mesh.stack:
        await mesh.start()
        yield mesh


@pytest.fixture
async def mesh(bare: Mesh) -> Mesh:
    """A manager with an Envoy, two runtimes and a repository."""
    await bare.connect()
    await bare.join(bare.scikit, bare.spark, bare.repository)
    return bare
