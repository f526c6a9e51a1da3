"""One HTTP/2 connection, the server's side, without I/O. Source: RFC 9113.

`receive` takes bytes and returns what happened; what is to be sent gathers in `output`. Sending
obeys the peer's windows: what does not fit waits in its stream. What is received is granted anew
only once it has been `consumed`, so that a slow reader slows the sender down, end to end.

What a peer can make us hold is bounded: unread bytes by the windows, streams by their number,
header blocks and answers to control frames by limits. The windows of all streams fit into that of
the connection, so that calls which nobody reads hold up no others.
"""

from __future__ import annotations

import struct

from hydro_services.http2 import fields, frames, requests
from hydro_services.http2.events import Cancelled, Event, Opened, Received, Writable
from hydro_services.http2.frames import Code, ConnectionFault
from hydro_services.http2.receiving import REMEMBERED, Block, Incoming, Recent, Window
from hydro_services.http2.sending import Progress, Sender

MAX_STREAMS = 1_024
"""At once; a client that needs more opens another connection."""
STREAM_WINDOW = 128 << 10
CONNECTION_WINDOW = MAX_STREAMS * STREAM_WINDOW
_DRAIN = b"draining"
"""A PING's payload: with its answer the peer has seen the GOAWAY before it."""
_UINT = struct.Struct(">I")


class Connection:
    """The state of one connection."""

    def __init__(self) -> None:
        self._reader = frames.Reader()
        self._events: list[Event] = []
        self._settled = False
        self._last = 0
        self._draining = self._closing = False
        self._block: Block | None = None
        self._decoder = fields.Decoder()
        self._streams: dict[int, Incoming] = {}
        self._reset = Recent(REMEMBERED)
        self._window = Window(CONNECTION_WINDOW)
        self._sender = Sender()
        self._sender.control(
            frames.settings(
                {
                    frames.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                    frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                    frames.MAX_HEADER_LIST_SIZE: fields.MAX_BLOCK,
                }
            )
        )
        grown = CONNECTION_WINDOW - frames.DEFAULT_WINDOW
        self._sender.control(frames.window_update(0, grown))

    # Receiving

    def receive(self, data: bytes) -> list[Event]:
        """What these bytes bring about.

        Raises:
            ConnectionFault: the peer broke the rules. Send `output`, then close.
        """
        self._events = []
        try:
            for type, flags, stream, payload in self._reader.feed(data):
                self._frame(type, flags, stream, payload)
        except ConnectionFault as fault:
            self._closing = True
            self._sender.control(frames.goaway(self._last, fault.code, str(fault)))
            raise
        return self._events

    def _frame(self, type: int, flags: int, id: int, payload: bytes) -> None:
        if self._block and (type != frames.CONTINUATION or id != self._block.stream):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "want CONTINUATION of the header block")
        if not self._settled:
            if type != frames.SETTINGS or flags & frames.ACK:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "want SETTINGS first")
            self._settled = True
        match type:
            case frames.DATA:
                self._on_data(flags, id, payload)
            case frames.HEADERS:
                self._on_headers(flags, id, payload)
            case frames.CONTINUATION:
                self._on_continuation(flags, payload)
            case frames.WINDOW_UPDATE:
                self._on_window_update(id, payload)
            case frames.RST_STREAM:
                self._on_reset(id, payload)
            case frames.SETTINGS:
                self._on_settings(flags, id, payload)
            case frames.PING:
                self._on_ping(flags, id, payload)
            case frames.PRIORITY:
                self._on_priority(id, payload)
            case frames.PUSH_PROMISE:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "a client does not push")
            case frames.GOAWAY if id:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY is of the connection")
            case _:
                pass  # Unknown frames are ignored: RFC 9113, section 5.5.

    def _on_data(self, flags: int, id: int, payload: bytes) -> None:
        size = len(payload)
        if not self._window.take(size):
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "the connection's window is used up")
        data = frames.padded(flags, payload)
        ended = bool(flags & frames.END_STREAM)
        stream = self._streams.get(id)
        if stream is None:
            self._grant(size)
            self._of_closed(id)
            return
        fits = stream.window.take(size)
        if not stream.open:
            self._fail(id, Code.STREAM_CLOSED)
        elif not fits:
            self._fail(id, Code.FLOW_CONTROL_ERROR)
        elif not stream.fits(len(data), ended):
            self._fail(id, Code.PROTOCOL_ERROR)
        else:
            if size > len(data):
                self.consumed(id, size - len(data))
            stream.open = not ended
            if data or ended:
                self._events.append(Received(id, data, ended))

    def _of_closed(self, id: int) -> None:
        """DATA of a stream that we reset may still be under way."""
        self._not_idle(id)
        if id not in self._reset:
            self._sender.reply(frames.reset(id, Code.STREAM_CLOSED))

    def _not_idle(self, id: int) -> None:
        if id > self._last or id % 2 == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {id} is idle")

    def _on_headers(self, flags: int, id: int, payload: bytes) -> None:
        piece = frames.padded(flags, payload)
        faulty = False
        if flags & frames.PRIORITIZED:
            if len(piece) < 5:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS are cut short")
            faulty, piece = _depends_on(piece) == id, piece[5:]
        if id % 2 == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"a client does not open stream {id}")
        if id <= self._last and id not in self._streams and id not in self._reset:
            raise ConnectionFault(Code.STREAM_CLOSED, f"stream {id} has ended")
        ended = bool(flags & frames.END_STREAM)
        self._block = Block(id, ended, faulty, fields.MAX_BLOCK)
        self._extend(self._block, flags, piece)

    def _on_continuation(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._extend(self._block, flags, payload)

    def _extend(self, block: Block, flags: int, piece: bytes) -> None:
        if not block.add(piece, bool(flags & frames.END_HEADERS)):
            return
        self._block = None
        found = self._decoder.decode(block.data)
        try:
            if block.faulty:
                raise requests.Malformed("a stream depends on itself")
            if block.stream > self._last:
                self._last = block.stream
                self._open(block, found)
            elif block.stream in self._streams:
                self._on_trailers(block, found)
        except requests.Malformed:
            self._last = max(self._last, block.stream)
            self._fail(block.stream, Code.PROTOCOL_ERROR)

    def _open(self, block: Block, found: list[fields.Field]) -> None:
        metadata = requests.request(found)
        length = requests.length(metadata)
        if block.ended and length:
            raise requests.Malformed("there is no body, but a length of it")
        if self._closing or len(self._streams) >= MAX_STREAMS:
            self._fail(block.stream, Code.REFUSED_STREAM)
            return
        self._streams[block.stream] = Incoming(Window(STREAM_WINDOW), not block.ended, length)
        self._sender.open(block.stream)
        self._events.append(Opened(block.stream, metadata, block.ended))

    def _on_trailers(self, block: Block, found: list[fields.Field]) -> None:
        stream = self._streams[block.stream]
        if not stream.open:
            self._fail(block.stream, Code.STREAM_CLOSED)
            return
        requests.trailers(found)
        if not block.ended or not stream.fits(0, ended=True):
            raise requests.Malformed("trailers do not end the stream, or the body is cut short")
        stream.open = False
        self._events.append(Received(block.stream, b"", True))

    def _on_priority(self, id: int, payload: bytes) -> None:
        """Priorities are ignored (RFC 9113, 5.3.2), but for a stream that depends on itself."""
        _sized(id, payload, 5)
        if _depends_on(payload) == id and id in self._streams:
            self._fail(id, Code.PROTOCOL_ERROR)

    def _on_window_update(self, id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE has 4 bytes")
        size = _UINT.unpack(payload)[0] & frames.MAX_WINDOW
        if id and id not in self._streams:
            self._not_idle(id)
        elif id and not size:
            self._fail(id, Code.PROTOCOL_ERROR)
        else:
            try:
                self._progressed(self._sender.granted(id, size))
            except OverflowError:
                self._fail(id, Code.FLOW_CONTROL_ERROR)

    def _on_reset(self, id: int, payload: bytes) -> None:
        _sized(id, payload, 4)
        self._not_idle(id)
        if id in self._streams:
            self._close(id)
            self._events.append(Cancelled(id))

    def _on_settings(self, flags: int, id: int, payload: bytes) -> None:
        ack = bool(flags & frames.ACK)
        if id or len(payload) % 6 or (ack and payload):
            code = Code.PROTOCOL_ERROR if id else Code.FRAME_SIZE_ERROR
            raise ConnectionFault(code, "SETTINGS of a wrong size or of a stream")
        if ack:
            return
        pairs = list(struct.iter_unpack(">HI", payload))
        for key, value in pairs:
            _check_setting(key, value)
        values = dict(pairs)
        if frames.HEADER_TABLE_SIZE in values:
            self._sender.table_size(values[frames.HEADER_TABLE_SIZE])
        # First the answer, so that the peer counts on its new windows when they are used.
        self._sender.reply(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if frames.INITIAL_WINDOW_SIZE in values:
            self._progressed(self._sender.initial_window(values[frames.INITIAL_WINDOW_SIZE]))

    def _on_ping(self, flags: int, id: int, payload: bytes) -> None:
        if id or len(payload) != 8:
            code = Code.PROTOCOL_ERROR if id else Code.FRAME_SIZE_ERROR
            raise ConnectionFault(code, "PING of a wrong size or of a stream")
        if not flags & frames.ACK:
            self._sender.reply(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif self._draining and payload == _DRAIN:
            self._refuse()

    # Sending

    def output(self) -> bytes:
        """What is to be sent now."""
        return self._sender.output()

    def send_headers(self, id: int, block: bytes, *, end: bool = False) -> None:
        """Starts a stream's answer, or with `end` gives it whole. Nothing happens if it is gone."""
        if self._sender.headers(id, block, end=end) and end:
            self._answered(id)

    def send_data(self, id: int, data: bytes) -> int:
        """Sends a piece of the answer; returns how many bytes have to wait for the peer."""
        return self._sender.data(id, data)

    def send_trailers(self, id: int, block: bytes) -> None:
        """Ends the answer, after all that waits."""
        if self._sender.end(id, block):
            self._answered(id)

    def held(self, id: int) -> int:
        """How many bytes of the answer wait for the peer; 0 where the stream is gone."""
        return self._sender.held(id)

    @property
    def unsent(self) -> int:
        """Bytes of answers that the windows let through and `output` has not taken yet."""
        return self._sender.unsent

    def consumed(self, id: int, size: int) -> None:
        """Grants the peer as many bytes again, unless the stream is gone."""
        stream = self._streams.get(id)
        if stream is None:
            return
        due = stream.window.give(size)
        if due and stream.open:
            self._sender.control(frames.window_update(id, due))
        self._grant(size)

    def reset(self, id: int, code: Code) -> None:
        """Ends a stream at once. Nothing happens if it is gone."""
        if id in self._streams:
            self._close(id)
            self._reset.add(id)
            self._sender.control(frames.reset(id, code))

    def go_away(self) -> None:
        """Asks for no new streams, then takes none; those under way go on.

        The peer may have opened some that are not here yet. So the first GOAWAY refuses none; the
        second one, which does, follows when the peer has seen the first. Source: RFC 9113, 6.8.
        """
        if not self._settled:
            self._refuse()
        elif not (self._draining or self._closing):
            self._draining = True
            self._sender.control(frames.goaway(frames.MAX_ID, Code.NO_ERROR))
            self._sender.control(frames.frame(frames.PING, 0, 0, _DRAIN))

    @property
    def done(self) -> bool:
        """It takes no new streams, and none is under way."""
        return self._closing and not self._streams

    def _refuse(self) -> None:
        self._draining, self._closing = False, True
        self._sender.control(frames.goaway(self._last, Code.NO_ERROR))

    def _progressed(self, progress: list[Progress]) -> None:
        for each in progress:
            self._events.append(Writable(each.stream))
            if each.ended:
                self._answered(each.stream)

    def _answered(self, id: int) -> None:
        """An answer that is whole before the request is: the rest of the request is not wanted."""
        if self._streams[id].open:
            self.reset(id, Code.NO_ERROR)
        else:
            self._close(id)

    def _fail(self, id: int, code: Code) -> None:
        """Ends a stream by the peer's fault."""
        self._sender.reply(frames.reset(id, code))
        self._reset.add(id)
        if id in self._streams:
            self._close(id)
            self._events.append(Cancelled(id))

    def _close(self, id: int) -> None:
        """Forgets a stream; what nobody has read of it no longer counts."""
        self._grant(self._streams.pop(id).window.unread)
        self._sender.close(id)

    def _grant(self, size: int) -> None:
        if due := self._window.give(size):
            self._sender.control(frames.window_update(0, due))


def _check_setting(key: int, value: int) -> None:
    if key == frames.ENABLE_PUSH and value > 1:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")
    if key == frames.MAX_FRAME_SIZE and not frames.MAX_FRAME <= value < 2**24:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of range")
    if key == frames.INITIAL_WINDOW_SIZE and value > frames.MAX_WINDOW:
        raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")


def _depends_on(payload: bytes) -> int:
    stream: int = _UINT.unpack_from(payload)[0]
    return stream & frames.MAX_WINDOW


def _sized(id: int, payload: bytes, size: int) -> None:
    if len(payload) != size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"got {len(payload)} bytes, want {size}")
    if not id:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "the frame is of a stream")
