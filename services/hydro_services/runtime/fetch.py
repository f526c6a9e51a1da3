"""Models from the repository, kept on disk by digest; every byte is checked against its SHA-256."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
from pathlib import Path, PurePosixPath

import grpc

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_envoy.address import Address
from hydro_runtimes import files
from hydro_runtimes.errors import ModelError
from hydro_services import errors, rpc
from hydro_services.runtime.folders import Folders
from hydro_services.runtime.host import ModelId
from hydro_services.security import credential, private_files

logger = logging.getLogger(__name__)

CALL_S = 10.0
"""Seconds that the repository may take for an answer, or for a piece of a file."""
MAX_BYTES = 16 << 30
"""Of a model."""
CACHE_BYTES = 2 << 30
"""Of all models in a cache, but for those that are loaded."""


class Cache:
    """Folders of models by digest."""

    def __init__(
        self,
        root: Path,
        egress: Address | None = None,
        max_bytes: int = CACHE_BYTES,
        token_file: Path | None = None,
    ) -> None:
        """Starts with what is there.

        Args:
            root: of the folders.
            egress: where a sidecar takes calls to the repository, wherever that is.
            max_bytes: of all models, but for those that are loaded.
            token_file: has the token that a repository of this machine wants to see.
        """
        self.root = root
        self._token_file = token_file
        self._egress = egress
        self._folders = Folders(root, max_bytes)

    async def fetch(self, id: ModelId, repository: Address) -> Path:
        """The folder with the model's files, downloaded where it is not there yet.

        It stays until it is released as often.

        Raises:
            errors.NotFound: the repository has no such model.
            errors.ModelRefused: what it has is refused, or is not what was asked for.
            errors.Unavailable: it does not answer.
        """
        if found := await asyncio.to_thread(self._hold, id.digest):
            return found
        try:
            async with rpc.open_channel(self._egress or repository) as channel:
                return await self._download(pb_grpc.RepositoryServiceStub(channel), id)
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc(error) from error
        except TimeoutError:
            raise errors.Unavailable(f"repository {repository} does not answer") from None
        except OSError as error:
            want = "free some space, or choose another folder by --cache"
            raise errors.Unavailable(f"cannot write to {self.root}: {error}; {want}") from error

    def release(self, id: ModelId) -> None:
        """A model that was fetched is not used any more."""
        self._folders.release(id.digest)

    def evict(self) -> None:
        """Removes what is not used, as far as it is too much; takes a while."""
        self._folders.evict()

    def _hold(self, digest: str) -> Path | None:
        """The folder, if it is there and whole."""
        folder = self._folders.hold(digest)
        if folder and not has_content(folder, digest):
            self._folders.release(digest)
            return None
        return folder

    async def _download(self, stub: pb_grpc.RepositoryServiceAsyncStub, id: ModelId) -> Path:
        request = pb.GetModelRequest(model=id.model, version=id.version)
        shown = credential.token_metadata(self._token_file)
        version = (await stub.GetModel(request, timeout=CALL_S, metadata=shown)).model
        # By our own computation: the digest that the listing claims is not believed.
        check_listing(version, id)
        await asyncio.to_thread(private_files.make_private_folder, self.root)
        # Room first: a disk that fills up halfway would fail other models as well.
        await asyncio.to_thread(self._folders.evict, sum(file.size_bytes for file in version.files))
        folder = self.root / id.digest
        try:
            with self._folders.fill(id.digest) as partial:
                for file in version.files:
                    await _download_file(stub, id, file, partial, shown)
                await asyncio.to_thread(_make_room, folder, id.digest)
        except OSError:
            # Another process may have been quicker, and be loading what it put there: that stays.
            if not await asyncio.to_thread(self._hold, id.digest):
                raise
        logger.info("model fetched", extra={"model": id.key, "files": len(version.files)})
        return folder


def check_listing(found: pb.ModelVersion, id: ModelId) -> None:
    """Refuses a listing that is not of the wanted content, or that names odd paths.

    Raises:
        errors.ModelRefused: it is so.
        errors.Aborted: the repository has another content by now.
    """
    listed = [files.File(file.path, file.size_bytes, file.sha256) for file in found.files]
    if files.digest_of_files(listed) != id.digest:
        got = f"model {id.model}:{id.version} has digest {found.digest[:12]}"
        raise errors.Aborted(f"{got}, want {id.digest[:12]}; it has changed, try again")
    for file in found.files:
        parts = PurePosixPath(file.path).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in file.path:
            raise errors.ModelRefused(f"file path '{file.path}' leaves the model's folder")
    if sum(file.size_bytes for file in found.files) > MAX_BYTES:
        raise errors.ModelRefused(f"model {id.key} is over {MAX_BYTES} bytes")


async def _download_file(
    stub: pb_grpc.RepositoryServiceAsyncStub,
    id: ModelId,
    file: pb.File,
    folder: Path,
    shown: credential.Metadata,
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
            async for piece in stub.Download(request, metadata=shown):
                # The limit is on silence, not on the file: a large one may take its time.
                limit.reschedule(clock() + CALL_S)
                size += len(piece.chunk)
                # More than was announced is not even hashed: the SHA-256 below refuses it.
                if size > file.size_bytes:
                    break
                sha.update(piece.chunk)
                await asyncio.to_thread(out.write, piece.chunk)
    if sha.hexdigest() != file.sha256:
        got = f"file {file.path} of {id.key} has SHA-256 {sha.hexdigest()[:12]}"
        raise errors.ModelRefused(f"{got}, want {file.sha256[:12]}; it was not loaded")


def _make_room(folder: Path, digest: str) -> None:
    """What is there and not whole goes."""
    if folder.exists() and not has_content(folder, digest):
        shutil.rmtree(folder, ignore_errors=True)


def has_content(folder: Path, digest: str) -> bool:
    """The folder is there and has this content."""
    try:
        return files.digest_folder(folder) == digest
    except ModelError:
        return False
