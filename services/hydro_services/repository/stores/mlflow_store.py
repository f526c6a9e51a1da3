"""Versions of a model in a registry of MLflow."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydro_services.repository.source import FileChanged, Stamp


class MlflowStore:
    """Files of `NAME`, `NAME/VERSION`, `NAME/STAGE` or `NAME@ALIAS`; see `store.ModelStore`.

    A name alone has all of its versions. The registry is that of MLFLOW_REGISTRY_URI or
    MLFLOW_TRACKING_URI, with the credentials of its client. A version's files do not change.
    """

    def __init__(self, place: str) -> None:
        """`place`: what the URL has after the scheme."""
        self._name, self._mark, self._selector = _split(place)
        self._versions: dict[tuple[object, ...], Mapping[str, Stamp]] = {}
        """The files of each version, by what it is known by."""
        self._files: dict[str, tuple[str, Stamp]] = {}
        """Where each file is that was listed."""

    def list_objects(self) -> Mapping[str, Stamp]:
        """As `ModelStore.list_objects`: files are listed once for each version."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        client = importlib.import_module("mlflow").MlflowClient()
        seen: dict[tuple[object, ...], Mapping[str, Stamp]] = {}
        files: dict[str, tuple[str, Stamp]] = {}
        for version in self._find_versions(client):
            uri = client.get_model_version_download_uri(self._name, version.version)
            identity = (uri, version.creation_timestamp, str(version.version))
            seen[identity] = self._versions.get(identity) or _list_files(uri, identity)
            for path, stamp in seen[identity].items():
                files[f"mlflow/{self._name}/{version.version}/{path}"] = (f"{uri}/{path}", stamp)
        self._versions, self._files = seen, files
        return {path: stamp for path, (_, stamp) in files.items()}

    def download(self, path: str, stamp: Stamp, part: Path) -> None:
        """As `ModelStore.download`; a file begins anew after a cut."""
        uri, listed = self._files.get(path, ("", None))
        if listed != stamp:
            raise FileChanged
        artifacts = importlib.import_module("mlflow.artifacts")
        with tempfile.TemporaryDirectory(dir=part.parent.parent) as folder:
            os.replace(artifacts.download_artifacts(artifact_uri=uri, dst_path=folder), part)

    def _find_versions(self, client: Any) -> list[Any]:
        """Those that the URL names, and of which all is in the registry."""
        if not self._mark:
            found = client.search_model_versions(f"name = '{self._name}'")
        elif self._mark == "@":
            found = [client.get_model_version_by_alias(self._name, self._selector)]
        elif self._selector.isdecimal():
            found = [client.get_model_version(self._name, self._selector)]
        else:
            found = client.get_latest_versions(self._name, [self._selector])
        return [version for version in found if version.status == "READY"]


def _split(place: str) -> tuple[str, str, str]:
    """The name, "/" or "@" or nothing, and what follows it."""
    for mark in "/@":
        if mark in place:
            return (place.partition(mark)[0], mark, place.partition(mark)[2])
    return (place, "", "")


def _list_files(uri: str, identity: tuple[object, ...]) -> Mapping[str, Stamp]:
    created_ns = int(str(identity[1])) * 1_000_000
    return {
        path: Stamp(size, created_ns, tuple(map(str, identity)))
        for path, size in _walk(importlib.import_module("mlflow.artifacts"), uri, "")
    }


def _walk(artifacts: Any, uri: str, folder: str) -> Iterator[tuple[str, int]]:
    """Paths and sizes of files; the library tells paths from different folders on."""
    for entry in artifacts.list_artifacts(artifact_uri=f"{uri}/{folder}".rstrip("/")):
        path = f"{folder}{entry.path.rpartition('/')[2]}"
        if entry.is_dir:
            yield from _walk(artifacts, uri, f"{path}/")
        else:
            yield path, int(entry.file_size)
