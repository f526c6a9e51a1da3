"""What a connection keeps of the receiving half: windows, streams, and whose frames to ignore.

Source: RFC 9113, sections 5.1 and 6.9.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from hydro_services.http2.h2_frames import Code, ConnectionFault

REMEMBERED = 1_024
"""Streams that we reset: their frames may be under way still."""


class Window:
    """How much a peer may send. What has been read is granted again, half a window at a time."""

    __slots__ = ("_left", "_owed", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._left = size
        self._owed = 0

    def take(self, size: int) -> bool:
        """Bytes have come; False: more than may come."""
        self._left -= size
        return self._left >= 0

    def give(self, size: int) -> int:
        """Bytes have been read; returns the WINDOW_UPDATE that is due, or 0."""
        # In halves: the peer always has half a window to send into while the grant is on its way.
        self._owed += size
        if self._owed * 2 < self.size:
            return 0
        due, self._owed = self._owed, 0
        self._left += due
        return due

    @property
    def unread(self) -> int:
        """Bytes that have come and have not been read."""
        return self.size - self._left - self._owed


@dataclass(slots=True)
class Incoming:
    """What one stream receives."""

    window: Window
    open: bool
    """The peer has not sent all."""
    length: int | None
    """Bytes that are still to come, where the peer has said how many."""

    def fits(self, size: int, ended: bool) -> bool:
        """The body is as long as it was said to be, so far."""
        # A body that is longer or shorter than its content-length is malformed: RFC 9113, 8.1.1.
        if self.length is None:
            return True
        self.length -= size
        return self.length == 0 if ended else self.length >= 0


class Recent:
    """The latest things, a limited number of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._seen: dict[Hashable, None] = {}

    def add(self, thing: Hashable) -> None:
        """Remembers it; forgets the oldest where there are too many."""
        self._seen[thing] = None
        if len(self._seen) > self.size:
            del self._seen[next(iter(self._seen))]

    def __contains__(self, thing: Hashable) -> bool:
        return thing in self._seen


class Block:
    """A header block, as it comes in HEADERS and CONTINUATION frames."""

    def __init__(self, stream: int, ended: bool, faulty: bool, limit: int) -> None:
        self.stream = stream
        self.ended = ended
        self.faulty = faulty
        """The stream is to be reset, but the block has to be read for the ones after it."""
        self.limit = limit
        self.data = b""

    def add(self, payload: bytes, last: bool) -> bool:
        """True: the block is whole.

        Raises:
            ConnectionFault: it is too long, or grows by nothing without an end.
        """
        self.data += payload
        # Empty CONTINUATION frames cost the peer nine bytes each and would keep the block open for
        # ever; a limit of bytes alone would not stop them.
        if len(self.data) > self.limit or not (payload or last):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block does not end")
        return last
