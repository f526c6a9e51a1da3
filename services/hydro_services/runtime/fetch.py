"""Models from the repository, kept on disk by digest; every byte is checked against its SHA-256."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

import grpc

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_runtimes import files
from hydro_runtimes.errors import ModelError
from hydro_services import errors, private, rpc
from hydro_services.runtime.host import ModelId

logger = logging.getLogger(__name__)

CALL_S = 10.0
"""Seconds that the repository may take for an answer, or for a piece of a file."""
MAX_BYTES = 16 << 30
"""Of a model."""


class Cache:
    """Folders of models by digest."""

    def __init__(self, root: Path, egress: str = "") -> None:
        """`egress` is where a sidecar takes calls to the repository, wherever that is."""
        self.root = root
        self._egress = egress

    async def fetch(self, id: ModelId, repository: str) -> Path:
        """The folder with the model's files, downloaded where it is not there yet.

        Raises:
            errors.NotFound: the repository has no such model.
            errors.ModelRefused: what it has is refused, or is not what was asked for.
            errors.Unavailable: it does not answer.
        """
        folder = self.root / id.digest
        if await asyncio.to_thread(holds, folder, id.digest):
            return folder
        try:
            async with rpc.channel(self._egress or repository) as channel:
                return await self._download(pb_grpc.RepositoryServiceStub(channel), id, folder)
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc(error) from error
        except TimeoutError:
            raise errors.Unavailable(f"repository {repository} does not answer") from None
        except OSError as error:
            want = "free some space, or choose another folder by --cache"
            raise errors.Unavailable(f"cannot write to {self.root}: {error}; {want}") from error

    async def _download(
        self, stub: pb_grpc.RepositoryServiceAsyncStub, id: ModelId, folder: Path
    ) -> Path:
        request = pb.GetModelRequest(model=id.model, version=id.version)
        found = (await stub.GetModel(request, timeout=CALL_S)).model
        check(found, id)
        await asyncio.to_thread(private.folder, self.root)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=self.root))
        try:
            for file in found.files:
                await _file(stub, id, file, partial)
            await asyncio.to_thread(_publish, partial, folder, id.digest)
        finally:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
        logger.info("model fetched", extra={"model": id.key, "files": len(found.files)})
        return folder


def check(found: pb.ModelVersion, id: ModelId) -> None:
    """Refuses a listing that is not of the wanted content, or that names odd paths.

    Raises:
        errors.ModelRefused: it is so.
        errors.Aborted: the repository has another content by now.
    """
    listed = [files.File(file.path, file.size_bytes, file.sha256) for file in found.files]
    if files.digest_of(listed) != id.digest:
        got = f"model {id.model}:{id.version} has digest {found.digest[:12]}"
        raise errors.Aborted(f"{got}, want {id.digest[:12]}; it has changed, try again")
    for file in found.files:
        parts = PurePosixPath(file.path).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in file.path:
            raise errors.ModelRefused(f"file path '{file.path}' leaves the model's folder")
    if sum(file.size_bytes for file in found.files) > MAX_BYTES:
        raise errors.ModelRefused(f"model {id.key} is over {MAX_BYTES} bytes")


async def _file(
    stub: pb_grpc.RepositoryServiceAsyncStub, id: ModelId, file: pb.File, folder: Path
) -> None:
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    request = pb.DownloadRequest(
        model=id.model, version=id.version, digest=id.digest, path=file.path
    )
    sha, size = hashlib.sha256(), 0
    clock = asyncio.get_running_loop().time
    async with asyncio.timeout(CALL_S) as limit:
        with target.open("wb") as out:
            async for piece in stub.Download(request):
                limit.reschedule(clock() + CALL_S)
                size += len(piece.chunk)
                if size > file.size_bytes:
                    break
                sha.update(piece.chunk)
                await asyncio.to_thread(out.write, piece.chunk)
    if sha.hexdigest() != file.sha256:
        got = f"file {file.path} of {id.key} has SHA-256 {sha.hexdigest()[:12]}"
        raise errors.ModelRefused(f"{got}, want {file.sha256[:12]}; it was not loaded")


def _publish(partial: Path, folder: Path, digest: str) -> None:
    """Another process may have been quicker, and be loading what it put there: that stays."""
    try:
        os.rename(partial, folder)
    except OSError:  # there is a folder that is not empty
        if holds(folder, digest):
            return
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(partial, folder)


def holds(folder: Path, digest: str) -> bool:
    """The folder is there and has this content."""
    try:
        return files.digest(folder) == digest
    except ModelError:
        return False
