"""A TCP proxy before a real server: it cuts connections, holds them, and goes away."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class CutProxy:
    """Forwards bytes both ways; attributes may change at any time, from any thread."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._flows = threading.Event()
        self._flows.set()
        self.port: int = self._listener.getsockname()[1]
        self.cut_after: int | None = None
        """How many bytes clients still get until all connections are cut and none is taken."""
        self.sent_bytes = 0
        self.connections = 0

    @property
    def is_away(self) -> bool:
        return self.cut_after is not None and self.cut_after <= 0

    def hold(self) -> None:
        """Clients get nothing more, and no connection is closed: a store that is slow."""
        self._flows.clear()

    @contextlib.contextmanager
    def running(self) -> Iterator[CutProxy]:
        threads = [threading.Thread(target=self._accept)]
        threads[0].start()
        try:
            yield self
        finally:
            self._flows.set()
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            threads[0].join(30)
            self._listener.close()
            for each in list(self._open):
                _shut(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.is_away:
                client.close()
                continue
            behind = socket.create_connection(("127.0.0.1", self._behind))
            self._open |= {client, behind}
            threading.Thread(target=self._serve, args=[client, behind], daemon=True).start()

    def _serve(self, client: socket.socket, behind: socket.socket) -> None:
        requests = threading.Thread(target=_forward, args=[client, behind], daemon=True)
        requests.start()
        with contextlib.suppress(OSError):
            while (data := behind.recv(1 << 14)) and self._flows.wait():
                if self.cut_after is not None:
                    data = data[: max(0, self.cut_after)]
                    self.cut_after -= len(data)
                client.sendall(data)
                self.sent_bytes += len(data)
                if self.is_away:
                    break
        _shut(client)
        _shut(behind)
        requests.join()
        for each in (client, behind):
            each.close()
            self._open.discard(each)


def _forward(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    _shut(target)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
