"""A repository, with one model, that takes what is saved in its folder soon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from repository_server import SECRET, Registry, Stub, running, save, watch_until

from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_services import rpc
from hydro_services.repository import tracking


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "SETTLE_S", 0.2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text(SECRET)
    root = tmp_path / "models"
    root.mkdir()
    return root


@pytest.fixture
async def stub(root: Path) -> AsyncIterator[Stub]:
    save(root / "scikit" / "adder")
    async with running(root, Registry()) as address, rpc.open_channel(address) as channel:
        stub = pb_grpc.RepositoryServiceStub(channel)
        await watch_until(stub, lambda models: "adder:1" in models)
        yield stub
