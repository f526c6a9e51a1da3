"""Stores of objects through fsspec: S3, Google Cloud Storage and Azure's blobs.

Credentials, regions and endpoints are found as each library does: by the environment, by its own
files, or by the machine's role.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hydro_services.repository.source import FileChanged, Stamp
from hydro_services.repository.stores import pieces


class FsspecStore:
    """Objects below a path of a file system; see `store.ModelStore`."""

    def __init__(self, path: str) -> None:
        """`path`: the bucket or container, and the prefix in it."""
        self._path = path.rstrip("/")
        self._opened: Any = None

    def list_objects(self) -> Mapping[str, Stamp]:
        """As `ModelStore.list_objects`."""
        fs = self._fs()
        found: Mapping[str, dict[str, Any]] = fs.find(self._path, detail=True)
        if not found and not fs.exists(bucket := self._path.partition("/")[0]):
            raise FileNotFoundError(f"there is no {bucket!r}, or it may not be listed")
        start = len(self._path) + 1
        return {
            name[start:]: self._stamp(info)
            for name, info in found.items()
            if info["type"] == "file" and name.startswith(f"{self._path}/")
        }

    def download(self, path: str, stamp: Stamp, part: Path) -> None:
        """As `ModelStore.download`."""
        name = f"{self._path}/{path}"
        pieces.complete_file(part, stamp.size_bytes, functools.partial(self._read, name, stamp))
        self._check_after(name, stamp)

    def _read(self, name: str, stamp: Stamp, start: int, end: int) -> bytes:
        try:
            return self._read_range(name, stamp, start, end)
        except Exception:
            self._check(name, stamp)  # that it is another by now says more than how reading failed
            raise

    def _read_range(self, name: str, stamp: Stamp, start: int, end: int) -> bytes:
        piece: bytes = self._fs().cat_file(name, start=start, end=end)
        return piece

    def _check_after(self, name: str, stamp: Stamp) -> None:
        """Checks that what was read is of the stamp: each write makes another one."""
        self._check(name, stamp)

    def _check(self, name: str, stamp: Stamp) -> None:
        fs = self._fs()
        fs.invalidate_cache()
        try:
            now = self._stamp(fs.info(name))
        except FileNotFoundError as error:
            raise FileChanged from error
        if (now.size_bytes, now.identity) != (stamp.size_bytes, stamp.identity):
            raise FileChanged

    def _stamp(self, info: Mapping[str, Any]) -> Stamp:
        raise NotImplementedError

    def _open(self) -> Any:
        raise NotImplementedError

    def _fs(self) -> Any:
        if self._opened is None:  # not earlier: it may look for credentials, and wait
            self._opened = self._open()
        return self._opened


class S3Store(FsspecStore):
    """A bucket of S3, or of what speaks its protocol (AWS_ENDPOINT_URL)."""

    def _open(self) -> Any:
        fs = importlib.import_module("s3fs").S3FileSystem(
            config_kwargs={
                "connect_timeout": pieces.CONNECT_S,
                "read_timeout": pieces.READ_S,
                "retries": {"max_attempts": 2},
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        fs.retries = 2
        return fs

    def _read_range(self, name: str, stamp: Stamp, start: int, end: int) -> bytes:
        """One request for bytes of this ETag, or none: content may come back to an earlier ETag."""
        fs = self._fs()

        async def get() -> bytes:
            bucket, key, _ = fs.split_path(name)
            answer = await fs._call_s3(
                "get_object",
                Bucket=bucket,
                Key=key,
                IfMatch=str(stamp.identity[0]),
                Range=f"bytes={start}-{end - 1}",
            )
            async with answer["Body"] as body:
                piece: bytes = await body.read()
            return piece

        piece: bytes = importlib.import_module("fsspec.asyn").sync(fs.loop, get)
        return piece

    def _check_after(self, name: str, stamp: Stamp) -> None:
        """Nothing: each piece was of the ETag."""

    def _stamp(self, info: Mapping[str, Any]) -> Stamp:
        return Stamp(int(info["size"]), _to_ns(info["LastModified"]), (str(info["ETag"]),))


class GoogleStore(FsspecStore):
    """A bucket of Google Cloud Storage."""

    def _open(self) -> Any:
        # Its support of folders as objects asks for the bucket's kind over gRPC, and waits for a
        # minute where there is none, as at emulators. Objects are listed the same without.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        return importlib.import_module("gcsfs").GCSFileSystem(
            requests_timeout=pieces.READ_S, use_listings_cache=False, skip_instance_cache=True
        )

    def _read_range(self, name: str, stamp: Stamp, start: int, end: int) -> bytes:
        piece: bytes = self._fs().cat_file(
            name, start=start, end=end, generation=str(stamp.identity[0])
        )
        return piece

    def _stamp(self, info: Mapping[str, Any]) -> Stamp:
        return Stamp(int(info["size"]), _to_ns(info["updated"]), (str(info["generation"]),))


class AzureStore(FsspecStore):
    """A container of Azure Blob Storage, of the account that the environment names."""

    def _open(self) -> Any:
        return importlib.import_module("adlfs").AzureBlobFileSystem(
            connection_timeout=pieces.CONNECT_S,
            read_timeout=pieces.READ_S,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def _stamp(self, info: Mapping[str, Any]) -> Stamp:
        etag = str(info["etag"]).strip('"')
        return Stamp(int(info["size"]), _to_ns(info["last_modified"]), (etag,))


def _to_ns(at: datetime | str) -> int:
    """Nanoseconds since the epoch."""
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return int(at.timestamp() * 1e9)
