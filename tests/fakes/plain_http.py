"""Clients of the gateway on plain sockets, which try nothing again and see every failure."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Mapping
from typing import Any

from patience import PATIENCE_S


class Load(threading.Thread):
    """Sends a row after the other on one connection, until the answer tells that it closes.

    It makes no other then: a system resets connections that wait to be accepted when a port closes.
    """

    def __init__(self, gateway: str, pipeline: str, row: Mapping[str, Any]) -> None:
        super().__init__(daemon=True)
        self.answered = 0
        self.failures: list[str] = []
        self.is_told = False
        self._gateway = gateway
        self._path = f"/api/v1/serve/{pipeline}"
        self._body = json.dumps([row])

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._gateway, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            try:
                while not self.failures and not self.is_told:
                    self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        headers = {"content-type": "application/json"}
        connection.request("POST", self._path, self._body, headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            self.failures.append(f"{answer.status}: {body!r}")
        self.answered += 1
        self.is_told = answer.getheader("connection") == "close"


class Lines:
    """A request of NDJSON whose rows go one by one, each when the one before is answered."""

    def __init__(self, gateway: str, pipeline: str) -> None:
        host, _, port = gateway.rpartition(":")
        self._socket = socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S)
        self._answer = self._socket.makefile("rb")
        head = (
            f"POST /api/v1/serve/{pipeline} HTTP/1.1\r\nhost: {gateway}\r\n"
            "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        self._socket.sendall(head.encode())
        self._has_head = False

    def __enter__(self) -> Lines:
        return self

    def ask(self, row: Mapping[str, Any]) -> Any:
        """The answer to a row."""
        line = json.dumps(row).encode() + b"\n"
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(line), line))
        return json.loads(self._chunk())

    def _chunk(self) -> bytes:
        if not self._has_head:
            status = self._answer.readline()
            assert b" 200 " in status, status
            while self._answer.readline() != b"\r\n":
                pass
            self._has_head = True
        size = int(self._answer.readline(), 16)
        return self._answer.read(size + 2)[:-2]

    def __exit__(self, kind: object, *_: object) -> None:
        """Ends the request, and sees that the answer ends as it should."""
        try:
            if kind is None:
                self._socket.sendall(b"0\r\n\r\n")
                assert self._chunk() == b"", "more than was asked for"
        finally:
            self._answer.close()
            self._socket.close()
