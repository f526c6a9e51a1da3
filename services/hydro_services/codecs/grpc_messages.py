"""gRPC messages in a stream of bytes: each a 5-byte prefix and a protobuf message.

Chunks may split a message or hold several.
Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message.
"""

from __future__ import annotations

import struct

from hydro_services.errors import Compressed, InvalidArgument, TooLarge

ACCEPTED = ("grpc-accept-encoding", "identity")
"""A header of the answer to a client that compressed a message; pipeline_name.wat sends it too."""
_PREFIX = struct.Struct(">BI")


class MessageCutter:
    """Cuts chunks into messages; holds at most one message that is not complete."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that this chunk completes.

        Raises:
            TooLarge: a message is over the limit.
            Compressed: a message is compressed.
        """
        self._rest += chunk
        messages: list[bytes] = []
        at, end = 0, len(self._rest)
        while at + 5 <= end:
            compressed, length = _PREFIX.unpack_from(self._rest, at)
            self._check(compressed, length)
            if at + 5 + length > end:
                break
            with memoryview(self._rest) as held:
                messages.append(bytes(held[at + 5 : at + 5 + length]))
            at += 5 + length
        del self._rest[:at]
        return messages

    def end(self) -> None:
        """Raises InvalidArgument where the stream ended within a message."""
        if self._rest:
            raise InvalidArgument("the stream ended within a message, want whole messages")

    def _check(self, compressed: int, length: int) -> None:
        if compressed:
            raise Compressed("got a compressed message, want it plain; switch compression off")
        if length > self.max_bytes:
            got = f"got a message of {length} bytes, want at most {self.max_bytes}"
            raise TooLarge(f"{got}; send fewer rows a message")


def prefix_message(message: bytes) -> bytes:
    """The message with its prefix, not compressed."""
    return _PREFIX.pack(0, len(message)) + message
