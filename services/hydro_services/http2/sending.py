"""The sending half of a connection: what leaves, and what waits for the peer's windows.

Source: RFC 9113, section 6.9.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hydro_services.http2 import fields, h2_frames
from hydro_services.http2.h2_frames import Code, ConnectionFault

MAX_UNREAD = 8 << 20
"""Bytes of frames that no window holds back, such as errors and answers to PING, that may wait for
a peer to read them; all streams of a connection may fail at once in less."""
_EMPTY_TABLE = b"\x20"
"""At the start of a block: the dynamic table, which we do not use, now has no room."""


@dataclass(slots=True)
class _Outgoing:
    """What one stream sends."""

    credit: int = 0
    """The stream's window less the initial size, which the peer may change at any time."""
    waiting: deque[memoryview] = field(default_factory=deque)
    held: int = 0
    """Bytes that wait."""
    trailers: bytes | None = None
    """To be sent after all that waits."""


@dataclass(frozen=True, slots=True)
class SendProgress:
    """Some of what a stream had to hold back has been sent."""

    stream: int
    ended: bool
    """All of it, and the stream's end."""


class Sender:
    """Keeps to the peer's windows. A stream takes what it may; the rest waits in it."""

    def __init__(self) -> None:
        self._output: list[bytes | memoryview] = []
        self.unsent_bytes = 0
        """Bytes of bodies in what is to be sent now."""
        self._unread = 0
        self._window = h2_frames.DEFAULT_WINDOW
        self._initial = h2_frames.DEFAULT_WINDOW
        self._streams: dict[int, _Outgoing] = {}
        self._waiting: dict[int, _Outgoing] = {}
        """Streams that the connection's window holds back; the first has waited longest."""
        self._prefix = b""

    def take_output(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._output)
        self._output.clear()
        self._unread = self.unsent_bytes = 0
        return data

    def send_control(self, frame: bytes) -> None:
        """Sends a frame that no window holds back."""
        self._unread += len(frame)
        self._output.append(frame)

    def send_reply(self, frame: bytes) -> None:
        """Sends what a frame of the peer calls for.

        Raises:
            ConnectionFault: the peer makes us answer and does not read the answers.
        """
        self._check()
        self.send_control(frame)

    def open_stream(self, id: int) -> None:
        """A stream may send from now on.

        Raises:
            ConnectionFault: the peer asks on and on, and does not read the answers.
        """
        self._check()
        self._streams[id] = _Outgoing()

    def _check(self) -> None:
        # A peer that sends PING, SETTINGS or resets and never reads would fill our memory with
        # answers.
        if self._unread > MAX_UNREAD:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many answers wait to be read")

    def close_stream(self, id: int) -> None:
        """Forgets a stream, with what it holds back."""
        self._streams.pop(id, None)
        self._waiting.pop(id, None)

    def send_headers(self, id: int, block: bytes, *, end: bool) -> bool:
        """Sends a header block; False: the stream is gone."""
        if id not in self._streams:
            return False
        # A change of the table's size begins the first block that follows it: RFC 7541, 4.2.
        self.send_control(h2_frames.headers_frames(id, self._prefix + block, end=end))
        self._prefix = b""
        return True

    def send_data(self, id: int, data: bytes) -> int:
        """Sends a piece of the body; returns how many bytes have to wait for the peer."""
        out = self._streams.get(id)
        if out is None or not data:
            return 0
        out.waiting.append(memoryview(data))
        out.held += len(data)
        self._send(id, out)
        return out.held

    def end_stream(self, id: int, trailers: bytes) -> bool:
        """Ends the body; False: not yet, because some of it waits, or the stream is gone."""
        out = self._streams.get(id)
        if out is None or out.trailers is not None:
            return False
        out.trailers = trailers
        return self._send_end(id, out)

    def held_bytes(self, id: int) -> int:
        """How many bytes of a stream wait for the peer; 0 where it is gone."""
        out = self._streams.get(id)
        return out.held if out else 0

    def grow_window(self, id: int, size: int) -> list[SendProgress]:
        """The peer takes `size` more bytes, of a stream or (0) of the connection.

        Raises:
            ConnectionFault: the connection's window is nothing or too large.
            OverflowError: a stream's window is too large.
        """
        if id:
            out = self._streams[id]
            # A window may be negative: the peer can lower the initial size below what is already
            # under way (RFC 9113, 6.9.2). So it is kept as the difference to the initial size,
            # which then changes all streams at once.
            out.credit += size
            if out.credit + self._initial > h2_frames.MAX_WINDOW:
                raise OverflowError
            return self._send_waiting([id]) if out.held else []
        # Several streams may wait for the connection's window: they go in the order of their
        # waiting.
        self._window += size
        if not size or self._window > h2_frames.MAX_WINDOW:
            code = Code.FLOW_CONTROL_ERROR if size else Code.PROTOCOL_ERROR
            raise ConnectionFault(code, "the connection's window grows by 0 or too much")
        return self._send_waiting(list(self._waiting))

    def set_initial_window(self, size: int) -> list[SendProgress]:
        """All streams have this window from now on, those that are open too.

        Unlike in RFC 9113, 6.9.2, it is not an error if a window becomes too large by this: to find
        it would cost a look at every stream for each such frame, and it does no harm.
        """
        grown = size > self._initial
        self._initial = size
        # A smaller window frees nobody, so no stream has to be looked at.
        held = [id for id, out in self._streams.items() if out.held] if grown else []
        return self._send_waiting(held)

    def set_table_size(self, size: int) -> None:
        """The peer's limit of the dynamic table; a smaller one has to be acknowledged."""
        # We use no dynamic table, but a peer that lowers its limit waits for the acknowledgement in
        # the next block: RFC 7541, 4.2. Any larger limit needs no word, for we keep using none.
        if size < fields.TABLE_SIZE:
            self._prefix = _EMPTY_TABLE

    def _send_waiting(self, ids: list[int]) -> list[SendProgress]:
        progress = []
        for id in ids:
            # The connection's window is used up, so no stream gets more; the rest stays in the
            # queue.
            if self._window <= 0:
                break
            out = self._streams[id]
            before = out.held
            self._send(id, out)
            if out.held < before:
                progress.append(
                    SendProgress(id, out.trailers is not None and self._send_end(id, out))
                )
        return progress

    def _send(self, id: int, out: _Outgoing) -> None:
        """Sends as much of what waits as the windows let through."""
        # Whoever is held back again goes to the end of the queue: streams take turns.
        self._waiting.pop(id, None)
        while out.waiting:
            # Whichever is least: the stream's window, the connection's, and the largest frame that
            # every peer takes (16,384 bytes; we do not use the peer's larger ones).
            room = min(out.credit + self._initial, self._window, h2_frames.MAX_FRAME)
            if room <= 0:
                if self._window <= 0:  # else the stream's own window is to grow first
                    self._waiting[id] = out
                return
            piece = out.waiting.popleft()
            if len(piece) > room:  # a view: nothing is copied
                out.waiting.appendleft(piece[room:])
                piece = piece[:room]
            size = len(piece)
            out.credit -= size
            out.held -= size
            self._window -= size
            self.unsent_bytes += size
            self._output += (h2_frames.pack_header(h2_frames.DATA, 0, id, size), piece)

    def _send_end(self, id: int, out: _Outgoing) -> bool:
        # Trailers have no window, but must not overtake the data before them.
        return not out.waiting and self.send_headers(id, out.trailers or b"", end=True)
