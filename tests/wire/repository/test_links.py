"""Links in the repository's folder: those that lead out of it, and those by which it changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from repository_server import SECRET, Stub, download, failure, refusal, save, watch_until

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro_runtimes import load
from hydro_services import errors
from hydro_services.repository import tracking


async def test_a_link_out_of_the_folder_refuses_the_model(stub: Stub, root: Path) -> None:
    folder = save(root / "scikit" / "leaky")
    (folder / "notes.txt").symlink_to(root.parent / "secret.txt")
    error = await refusal(stub, "leaky", "link")
    assert isinstance(error, errors.ModelRefused)
    call = stub.DownloadFile(pb.DownloadFileRequest(model="leaky", path="notes.txt"))
    assert isinstance(await failure(call), errors.ModelRefused)


async def test_a_link_with_an_odd_name_refuses_the_model_only(stub: Stub, root: Path) -> None:
    folder = save(root / "scikit" / "leaky")
    (folder / os.fsdecode(b"\xff")).symlink_to(root.parent / "secret.txt")
    await refusal(stub, "leaky", "\\udcff")


async def test_links_in_a_circle_are_no_harm(stub: Stub, root: Path) -> None:
    folder = save(root / "scikit" / "round")
    for link in (folder / "loop", root / "scikit" / "loop", root / "loop"):
        link.symlink_to(link)
    await refusal(stub, "round", "cannot be read")
    save(root / "scikit" / "later")
    await watch_until(stub, lambda models: "later:1" in models)


async def test_a_model_that_no_reader_foresaw_is_refused_alone(
    stub: Stub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(load, "describe", fail)
    save(root / "scikit" / "strange")
    await refusal(stub, "strange", "RecursionError: too deep")
    monkeypatch.undo()
    assert (await stub.GetModel(pb.GetModelRequest(model="adder"))).model.digest


async def test_a_model_folder_that_is_a_link_out_is_refused(
    stub: Stub, root: Path, tmp_path: Path
) -> None:
    elsewhere = save(tmp_path / "elsewhere")
    (root / "scikit" / "linked").symlink_to(elsewhere)
    await refusal(stub, "linked", "leads out")


async def test_a_link_put_in_place_of_a_file_leaks_nothing(
    stub: Stub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "SETTLE_S", 3600.0)
    for replace in (put_link, put_pipe, put_folder_link):
        folder = root / "scikit" / "adder"
        replace(folder, root.parent)
        for call in (
            stub.DownloadFile(pb.DownloadFileRequest(model="adder", path="model.py")),
            stub.Download(pb.DownloadRequest(model="adder", path="model.py")),
        ):
            assert isinstance(await failure(call), errors.Aborted)


def put_link(folder: Path, outside: Path) -> None:
    (folder / "model.py").unlink()
    (folder / "model.py").symlink_to(outside / "secret.txt")


def put_pipe(folder: Path, outside: Path) -> None:
    (folder / "model.py").unlink()
    os.mkfifo(folder / "model.py")


def put_folder_link(folder: Path, outside: Path) -> None:
    shutil.rmtree(folder)
    (outside / "model.py").write_text(SECRET)
    folder.symlink_to(outside)


def swap(link: Path, target: str) -> None:
    """Replaces a link at once, as Kubernetes and deploys do."""
    new = link.with_name(f"{link.name}_new")
    new.symlink_to(target)
    new.rename(link)


def config_map(root: Path) -> tuple[Path, Path]:
    """A folder as Kubernetes mounts a ConfigMap; the link that changes."""
    folder = root / "scikit" / "mapped"
    save(folder / "..one", code="# one\n")
    (folder / "..data").symlink_to("..one")
    for file in ("model.py", "metadata.json"):
        (folder / file).symlink_to(f"..data/{file}")
    save(folder / "..two", code="# two\n")
    return folder / "..data", Path("..two")


def mounted_root(root: Path) -> tuple[Path, Path]:
    """The root itself is the mount: the framework's folder is a link."""
    save(root / "..one" / "any" / "mapped", code="# one\n")
    (root / "..data").symlink_to("..one")
    (root / "any").symlink_to("..data/any")
    save(root / "..two" / "any" / "mapped", code="# two\n")
    return root / "..data", Path("..two")


def deployed(root: Path) -> tuple[Path, Path]:
    """The model's folder is a link to a release."""
    for release, code in (("1", "# one\n"), ("2", "# two\n")):
        save(root / ".releases" / release, code=code)
    (root / "scikit" / "mapped").symlink_to("../.releases/1")
    return root / "scikit" / "mapped", Path("../.releases/2")


def current(root: Path) -> tuple[Path, Path]:
    """The files are links through `current`, which leads to a release."""
    folder = root / "scikit" / "mapped"
    for release, code in (("r1", "# one\n"), ("r2", "# two\n")):
        save(folder / ".releases" / release, code=code)
    (folder / ".current").symlink_to(".releases/r1")
    for file in ("model.py", "metadata.json"):
        (folder / file).symlink_to(f".current/{file}")
    return folder / ".current", Path(".releases/r2")


def version_link(root: Path) -> tuple[Path, Path]:
    folder = root / "scikit" / "mapped"
    for release, code in (("r1", "# one\n"), ("r2", "# two\n")):
        save(folder / ".releases" / release, code=code)
    (folder / "1").symlink_to(".releases/r1")
    return folder / "1", Path(".releases/r2")


@pytest.mark.parametrize("make", [config_map, mounted_root, deployed, current, version_link])
async def test_a_change_of_links_is_a_new_content(
    stub: Stub, root: Path, make: Callable[[Path], tuple[Path, Path]]
) -> None:
    link, target = make(root)
    before = (await watch_until(stub, lambda models: "mapped:1" in models))["mapped:1"]
    wanted = pb.DownloadRequest(model="mapped", path="model.py", digest=before)
    assert await download(stub, wanted) == [b"# one\n"]
    swap(link, str(target))
    models = await watch_until(stub, lambda models: models.get("mapped:1", before) != before)
    wanted.digest = models["mapped:1"]
    assert await download(stub, wanted) == [b"# two\n"]


async def test_what_a_link_leads_to_is_downloaded_within_the_root(stub: Stub, root: Path) -> None:
    shared = save(root / ".shared")
    (shared / "words.txt").write_text("shared by all")
    folder = save(root / "scikit" / "linked")
    (folder / "data").symlink_to(shared)
    await watch_until(stub, lambda models: "linked:1" in models)
    wanted = pb.DownloadRequest(model="linked", path="data/words.txt")
    assert await download(stub, wanted) == [b"shared by all"]
    (shared / "words.txt").write_text("changed where it is")
    old = (await stub.GetModel(pb.GetModelRequest(model="linked"))).model.digest
    await watch_until(stub, lambda models: models.get("linked:1", old) != old)
    assert await download(stub, wanted) == [b"changed where it is"]
