"""Hugging Face's hub as far as models are listed and read: commits, trees, ranges, tokens."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

PAGE = 2
"""Entries of a tree that are told at a time."""


class HubServer:
    """One repository, `team/double`; each commit has all of its files."""

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.commits: dict[str, Mapping[str, bytes]] = {}
        self.refs: dict[str, str] = {}
        self.requests: list[str] = []
        self.cut_after: int | None = None
        """Bytes of files until the hub is away."""
        self.url = ""

    @property
    def is_away(self) -> bool:
        return self.cut_after is not None and self.cut_after <= 0

    def commit(self, files: Mapping[str, bytes], ref: str = "main") -> str:
        sha = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.refs[ref] = sha
        return sha

    @contextlib.contextmanager
    def running(self) -> Iterator[HubServer]:
        class Handler(_Handler):
            hub = self

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=[0.02])
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        hub = self.hub
        quoted, _, query = self.path.partition("?")
        path = unquote(quoted)
        hub.requests.append(path)
        if hub.is_away:
            self.close_connection = True
            return
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self._answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        if found := re.fullmatch(r"/api/models/team/double(?:/revision/([^/]+))?", path):
            return self._tell_commit(found[1] or "main")
        if found := re.fullmatch(r"/api/models/team/double/tree/([0-9a-f]{40})(?:/(.*))?", path):
            return self._tell_tree(found[1], found[2] or "", query)
        if found := re.fullmatch(r"/team/double/resolve/([0-9a-f]{40})/(.*)", path):
            return self._tell_file(found[1], found[2])
        self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _tell_commit(self, ref: str) -> None:
        sha = self.hub.refs.get(ref, ref)
        if sha not in self.hub.commits:
            return self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        self._json(
            {
                "id": "team/double",
                "sha": sha,
                "createdAt": "2025-01-02T03:04:05.000Z",
                "siblings": [],
            }
        )

    def _tell_tree(self, sha: str, prefix: str, query: str) -> None:
        entries = [
            {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for path, data in sorted(self.hub.commits[sha].items())
            if path.startswith(f"{prefix}/" if prefix else "")
        ]
        found = re.search(r"cursor=([0-9]+)", query)
        start = int(found[1]) if found else 0
        headers = {}
        if start + PAGE < len(entries):
            url = (
                f"{self.hub.url}{self.path.partition('?')[0]}?recursive=true&cursor={start + PAGE}"
            )
            headers = {"Link": f'<{url}>; rel="next"'}
        self._json(entries[start : start + PAGE], headers)

    def _tell_file(self, sha: str, path: str) -> None:
        data = self.hub.commits[sha][path]
        found = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", self.headers.get("Range", ""))
        assert found, "the hub is asked for ranges"
        start, end = int(found[1]), int(found[2]) + 1
        piece = data[start:end]
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
        if self.hub.cut_after is not None:
            self.hub.cut_after -= len(piece)
            if self.hub.is_away:  # in the middle of it
                self.send_response(206)
                self.send_header("Content-Length", str(len(piece)))
                self.end_headers()
                self.wfile.write(piece[: len(piece) // 2])
                self.close_connection = True
                return
        self._answer(206, piece, headers)

    def _json(self, value: Any, headers: Mapping[str, str] | None = None) -> None:
        self._answer(200, json.dumps(value).encode(), headers or {})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
