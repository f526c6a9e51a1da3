"""A client of HTTP/2 that sends what others do not: trailers, halves of bodies. Blocks."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from patience import PATIENCE_S

from hydro_services.codecs.grpc_messages import MessageCutter

_PIECE = 16_384


@dataclass
class Answer:
    """What came on a stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    reset: int | None = None
    """The code, where the stream was broken off."""
    ended: bool = False

    @property
    def messages(self) -> list[bytes]:
        """gRPC's, of the body."""
        return MessageCutter(64 << 20).feed(self.body)

    @property
    def grpc_status(self) -> str:
        return self.trailers.get("grpc-status") or self.headers.get("grpc-status", "")


class H2Client:
    """One connection."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), PATIENCE_S)
        self._http2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._http2.initiate_connection()
        self._http2.increment_flow_control_window(2**30)
        self._flush()
        self._answers: dict[int, Answer] = {}

    def __enter__(self) -> H2Client:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._socket.close()

    def open(self, path: str, content_type: str, *more: tuple[str, str]) -> int:
        """Sends a POST's headers; the stream's number."""
        stream = self._http2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", path),
        ]
        headers += [("content-type", content_type), ("te", "trailers"), *more]
        self._http2.send_headers(stream, headers)
        self._flush()
        self._answers[stream] = Answer()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Sends a piece of a body."""
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            while self._http2.local_flow_control_window(stream) < len(piece):
                self._receive(PATIENCE_S)
            self._http2.send_data(stream, piece)
            self._flush()
        if end:
            self._http2.end_stream(stream)
            self._flush()

    def send_trailers(self, stream: int, trailers: Sequence[tuple[str, str]]) -> None:
        """Ends the request with them."""
        self._http2.send_headers(stream, trailers, end_stream=True)
        self._flush()

    def answer(self, stream: int) -> Answer:
        """Waits until it has ended, or was broken off."""
        found, end = self._answers[stream], time.monotonic() + PATIENCE_S
        while not found.ended and found.reset is None:
            self._receive(end - time.monotonic())
        return found

    def _flush(self) -> None:
        self._socket.sendall(self._http2.data_to_send())

    def _receive(self, limit_s: float) -> None:
        self._socket.settimeout(max(limit_s, 0.01))
        data = self._socket.recv(1 << 16)
        assert data, "the connection was closed"
        for event in self._http2.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                self._answers[event.stream_id].headers = _fields(event.headers)
            case DataReceived():
                self._answers[event.stream_id].body += event.data
                self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case TrailersReceived():
                self._answers[event.stream_id].trailers = _fields(event.headers)
            case StreamEnded():
                self._answers[event.stream_id].ended = True
            case StreamReset():
                self._answers[event.stream_id].reset = int(event.error_code)


def _fields(headers: Sequence[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in headers}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()
