"""What is odd in the folder of the repository costs its own model alone."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from repository_server import Stub, failure, refusal, save, watch_until

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro_runtimes import load
from hydro_services import errors


def odd_pipe(folder: Path) -> None:
    os.mkfifo(folder / "weights.bin")


def odd_metadata(folder: Path) -> None:
    (folder / "metadata.json").unlink()
    os.mkfifo(folder / "metadata.json")


def odd_socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "s"))


def odd_name(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff.bin")).touch()


def odd_folder(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff")).mkdir()
    (folder / os.fsdecode(b"\xff") / "x").touch()


def odd_deep(folder: Path) -> None:
    folder.joinpath(*["x" * 200] * 9).mkdir(parents=True)


def odd_sparse(folder: Path) -> None:
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (odd_pipe, "named pipe"),
        (odd_metadata, "named pipe"),
        (odd_socket, "socket"),
        (odd_name, "rename the file"),
        (odd_folder, "rename the file"),
        (odd_deep, "path of over"),
        (odd_sparse, "bytes in the files"),
    ],
)
async def test_what_is_odd_costs_its_own_model_alone(
    stub: Stub, root: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(save(root / "scikit" / "odd"))
    assert isinstance(await refusal(stub, "odd", reason), errors.ModelRefused)
    save(root / "scikit" / "later")
    await watch_until(stub, lambda models: "later:1" in models)
    shutil.rmtree(root / "scikit" / "odd")
    save(root / "scikit" / "odd")
    await watch_until(stub, lambda models: "odd:1" in models)


async def test_a_model_that_is_read_for_long_holds_back_none(
    stub: Stub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe, gate = load.describe, threading.Event()

    def slow(folder: Path) -> Any:
        if folder.name == "slow":
            assert gate.wait(30)
        return describe(folder)

    monkeypatch.setattr(load, "describe", slow)
    save(root / "scikit" / "slow")
    async for response in stub.Watch(pb.WatchRequest()):
        if [(m.model, m.reading) for m in response.others] == [("slow", True)]:
            break
    try:
        save(root / "scikit" / "later")
        models = await watch_until(stub, lambda models: "later:1" in models)
        assert "slow:1" not in models
        asked = stub.GetModel(pb.GetModelRequest(model="slow"))
        assert isinstance(await failure(asked), errors.Unavailable)
    finally:
        gate.set()
    await watch_until(stub, lambda models: "slow:1" in models)
