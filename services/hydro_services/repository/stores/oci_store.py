"""Artifacts in a registry of containers, as `oras push` makes them: a layer for each file."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydro_services.repository import catalogue
from hydro_services.repository.source import FileChanged, Stamp
from hydro_services.repository.stores import pieces

_TITLE = "org.opencontainers.image.title"
_LOCAL = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
"""Registries that are spoken to in clear text, as Docker does."""


class OciStore:
    """Files of `HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]`; see `store.ModelStore`.

    Without a tag, each tag that is a version is one of the model. Layers have digests of their
    content. Credentials are those of Docker's configuration.
    """

    def __init__(self, place: str) -> None:
        """`place`: what the URL has after the scheme."""
        self._place = place
        self._blobs: dict[str, str] = {}
        """The digest of each file that was listed."""
        self._manifests: dict[str, Mapping[str, Stamp]] = {}
        """The files of each manifest, by its digest, which never change."""

    def list_objects(self) -> Mapping[str, Stamp]:
        """As `ModelStore.list_objects`: one request for each tag that has not changed."""
        seen: dict[str, Mapping[str, Stamp]] = {}
        listed: dict[str, Stamp] = {}
        for tag, prefix in self._tags():
            digest = self._request("HEAD", self._manifest_url(tag)).headers["Docker-Content-Digest"]
            seen[digest] = self._manifests.get(digest) or self._read_manifest(digest)
            listed |= {f"{prefix}{path}": stamp for path, stamp in seen[digest].items()}
        self._manifests = seen
        self._blobs = {path: str(stamp.identity[0]) for path, stamp in listed.items()}
        return listed

    def download(self, path: str, stamp: Stamp, part: Path) -> None:
        """As `ModelStore.download`."""
        digest = self._blobs.get(path)
        if digest != stamp.identity[0]:
            raise FileChanged
        url = f"{self._base}/blobs/{digest}"

        def read(start: int, end: int) -> bytes:
            piece: bytes = self._request("GET", url, Range=f"bytes={start}-{end - 1}").content
            return piece

        pieces.complete_file(part, stamp.size_bytes, read)

    def _tags(self) -> Iterator[tuple[str, str]]:
        """Tags, or a digest, and what stands before the paths of their files."""
        container = self._container
        name = container.repository
        if container.digest or ":" in self._place.rpartition("/")[2]:
            yield container.digest or container.tag, ""
            return
        url: str | None = f"{self._base}/tags/list"
        while url:
            answer = self._request("GET", url)
            for tag in answer.json().get("tags") or ():
                if catalogue.is_version(tag):
                    yield tag, f"oci/{name}/{tag}/"
            following = answer.links.get("next", {}).get("url")
            url = f"{self._origin}{following}" if following else None

    def _read_manifest(self, digest: str) -> Mapping[str, Stamp]:
        layers = self._request("GET", self._manifest_url(digest)).json().get("layers", ())
        return {
            layer["annotations"][_TITLE]: Stamp(int(layer["size"]), 0, (layer["digest"],))
            for layer in layers
            if _TITLE in layer.get("annotations", {})
        }

    def _manifest_url(self, reference: str) -> str:
        return f"{self._base}/manifests/{reference}"

    def _request(self, method: str, url: str, **headers: str) -> Any:
        """The answer, of 200 or 206; authenticated as the registry asks for."""
        accept = importlib.import_module("oras.defaults").default_manifest_accepted_media_types
        self._client.auth.load_configs(self._container)
        # Without the library's own retries, which take minutes: it is listed again anyway.
        request = type(self._client).do_request.__wrapped__
        answer = request(
            self._client, url, method, headers={"Accept": ", ".join(accept), **headers}
        )
        answer.raise_for_status()
        return answer

    @functools.cached_property
    def _container(self) -> Any:
        return importlib.import_module("oras.container").Container(self._place)

    @property
    def _origin(self) -> str:
        scheme = "http" if _LOCAL.fullmatch(self._container.registry) else "https"
        return f"{scheme}://{self._container.registry}"

    @property
    def _base(self) -> str:
        return f"{self._origin}/v2/{self._container.api_prefix}"

    @functools.cached_property
    def _client(self) -> Any:
        is_local = self._origin.startswith("http:")
        client = importlib.import_module("oras.provider").Registry(insecure=is_local)
        # Its requests would wait forever.
        client.session.request = functools.partial(
            client.session.request, timeout=(pieces.CONNECT_S, pieces.READ_S)
        )
        return client
