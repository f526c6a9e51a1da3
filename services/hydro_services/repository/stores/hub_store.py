"""A repository of Hugging Face's hub, at a revision."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydro_services.repository.source import FileChanged, Stamp
from hydro_services.repository.stores import pieces

_NAMED = re.compile(r"([^@]*)@?(.*)", re.DOTALL)
"""A name, and a revision where one follows."""


class HubStore:
    """Files of `ORG/NAME[@REVISION][/PREFIX]`; see `store.ModelStore`.

    A revision is a commit: one request tells whether there is another one, and all that is
    listed and read is of one commit. The endpoint is HF_ENDPOINT's, the token the library's own.
    """

    def __init__(self, place: str) -> None:
        """`place`: what the URL has after the scheme."""
        organization, _, rest = place.partition("/")
        named, _, self._prefix = rest.partition("/")
        found = _NAMED.fullmatch(named)
        assert found
        name, self._revision = found.groups()
        self._repo = f"{organization}/{name}"
        self._commit = ""
        self._listed: Mapping[str, Stamp] = {}

    def list_objects(self) -> Mapping[str, Stamp]:
        """As `ModelStore.list_objects`."""
        hub = importlib.import_module("huggingface_hub")
        api = hub.HfApi(endpoint=_endpoint())
        info = api.repo_info(self._repo, revision=self._revision or None, timeout=pieces.READ_S)
        if info.sha != self._commit:
            tree = api.list_repo_tree(
                self._repo, self._prefix or None, recursive=True, revision=info.sha
            )
            # Commits have times, files have none without a request for each.
            created_ns = int(info.created_at.timestamp() * 1e9) if info.created_at else 0
            start = len(self._prefix) + 1 if self._prefix else 0
            self._listed = {
                entry.path[start:]: Stamp(entry.size, created_ns, (_content_id(entry),))
                for entry in tree
                if isinstance(entry, hub.hf_api.RepoFile)
            }
            self._commit = info.sha
        return self._listed

    def download(self, path: str, stamp: Stamp, part: Path) -> None:
        """As `ModelStore.download`: at the commit that was listed, whatever is newer."""
        if self._listed.get(path) != stamp:
            raise FileChanged
        hub = importlib.import_module("huggingface_hub")
        name = f"{self._prefix}/{path}" if self._prefix else path
        url = hub.hf_hub_url(self._repo, name, revision=self._commit, endpoint=_endpoint())
        headers = hub.utils.build_hf_headers()

        def read(start: int, end: int) -> bytes:
            answer = hub.get_session().get(
                url,
                headers={**headers, "Range": f"bytes={start}-{end - 1}"},
                follow_redirects=True,
                timeout=pieces.READ_S,
            )
            hub.utils.hf_raise_for_status(answer)
            piece: bytes = answer.content
            return piece

        pieces.complete_file(part, stamp.size_bytes, read)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _content_id(entry: Any) -> str:
    """SHA-256 of a file of LFS, else what git knows the content by."""
    return str(entry.lfs.sha256 if entry.lfs else entry.blob_id)
