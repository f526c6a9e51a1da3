"""One HTTP/2 connection, the server's side, without I/O. Source: RFC 9113.

`receive` takes bytes and returns what happened; what is to be sent gathers until `take_output`.
Sending obeys the peer's windows: what does not fit waits in its stream. A window that the peer has
used is granted again once its bytes have been read (`grant`), so that a slow reader slows the
sender down, end to end.

What a peer can make us hold is bounded: unread bytes by the windows, streams by their number,
header blocks and answers to control frames by limits. The windows of all streams fit into that of
the connection, so that calls which nobody reads hold up no others.
"""

from __future__ import annotations

from hydro_services.http2 import control_frames, fields, h2_frames, requests
from hydro_services.http2.events import Cancelled, Event, Opened, Received, Writable
from hydro_services.http2.h2_frames import Code, ConnectionFault
from hydro_services.http2.receiving import REMEMBERED, Block, Incoming, Recent, Window
from hydro_services.http2.sending import Sender, SendProgress

MAX_STREAMS = 1_024
"""At once; a client that needs more opens another connection."""
STREAM_WINDOW = 128 << 10
CONNECTION_WINDOW = MAX_STREAMS * STREAM_WINDOW
_DRAIN = b"draining"
"""A PING's payload: with its answer the peer has seen the GOAWAY before it."""


class Connection:
    """The state of one connection."""

    def __init__(self) -> None:
        self._reader = h2_frames.FrameCutter()
        self._events: list[Event] = []
        self._settled = False
        self._last = 0
        self._draining = self._closing = False
        self._block: Block | None = None
        self._decoder = fields.HpackDecoder()
        self._streams: dict[int, Incoming] = {}
        self._reset = Recent(REMEMBERED)
        self._window = Window(CONNECTION_WINDOW)
        self._sender = Sender()
        self._sender.send_control(
            h2_frames.settings_frame(
                {
                    h2_frames.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                    h2_frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                    h2_frames.MAX_HEADER_LIST_SIZE: fields.MAX_BLOCK,
                }
            )
        )
        # SETTINGS sizes the windows of streams alone. The connection's begins at 65,535 bytes and
        # grows by WINDOW_UPDATE only: RFC 9113, 6.9.2.
        grown = CONNECTION_WINDOW - h2_frames.DEFAULT_WINDOW
        self._sender.send_control(h2_frames.window_update_frame(0, grown))

    # Receiving

    def receive(self, data: bytes) -> list[Event]:
        """What these bytes bring about.

        Raises:
            ConnectionFault: the peer broke the rules. Send the output, then close.
        """
        self._events = []
        try:
            for type, flags, stream, payload in self._reader.feed(data):
                self._on_frame(type, flags, stream, payload)
        except ConnectionFault as fault:
            # GOAWAY names the last stream that was opened: the peer knows that all later ones were
            # not run, and may send them again elsewhere (RFC 9113, 6.8).
            self._closing = True
            self._sender.send_control(h2_frames.goaway_frame(self._last, fault.code, str(fault)))
            raise
        return self._events

    def _on_frame(self, type: int, flags: int, id: int, payload: bytes) -> None:
        # A header block is not interrupted, not by frames of other streams either: RFC 9113, 4.3.
        if self._block and (type != h2_frames.CONTINUATION or id != self._block.stream):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "want CONTINUATION of the header block")
        # The client's preface ends with a SETTINGS frame, which may be empty: RFC 9113, 3.4.
        if not self._settled:
            if type != h2_frames.SETTINGS or flags & h2_frames.ACK:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "want SETTINGS first")
            self._settled = True
        match type:
            case h2_frames.DATA:
                self._on_data(flags, id, payload)
            case h2_frames.HEADERS:
                self._on_headers(flags, id, payload)
            case h2_frames.CONTINUATION:
                self._on_continuation(flags, payload)
            case h2_frames.WINDOW_UPDATE:
                self._on_window_update(id, payload)
            case h2_frames.RST_STREAM:
                self._on_reset(id, payload)
            case h2_frames.SETTINGS:
                self._on_settings(flags, id, payload)
            case h2_frames.PING:
                self._on_ping(flags, id, payload)
            case h2_frames.PRIORITY:
                self._on_priority(id, payload)
            case h2_frames.PUSH_PROMISE:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "a client does not push")
            case h2_frames.GOAWAY if id:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY is of the connection")
            case _:
                pass  # Unknown frames are ignored: RFC 9113, section 5.5.

    def _on_data(self, flags: int, id: int, payload: bytes) -> None:
        size = len(payload)  # padding counts against the windows, too: RFC 9113, 6.1
        if not self._window.take(size):
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "the connection's window is used up")
        # The connection's window was counted first: both sides count every DATA frame, whatever
        # becomes of its stream, or their counts would differ for as long as the connection lasts.
        data = h2_frames.strip_padding(flags, payload)
        ended = bool(flags & h2_frames.END_STREAM)
        stream = self._streams.get(id)
        if stream is None:
            self._grant_connection(size)  # nobody will read it
            self._on_data_of_closed(id)
            return
        fits = stream.window.take(size)  # before any fault: closing counts what has not been read
        # These end the stream alone. The connection, with all its other streams, ends only for what
        # they share: the window above and HPACK's table.
        if not stream.open:
            self._fail_stream(id, Code.STREAM_CLOSED)
        elif not fits:
            self._fail_stream(id, Code.FLOW_CONTROL_ERROR)
        elif not stream.fits(len(data), ended):
            self._fail_stream(id, Code.PROTOCOL_ERROR)
        else:
            if size > len(data):
                self.grant(id, size - len(data))  # no reader will see the padding
            stream.open = not ended
            if data or ended:
                self._events.append(Received(id, data, ended))

    def _on_data_of_closed(self, id: int) -> None:
        """DATA of a stream that we reset may still be under way."""
        self._check_not_idle(id)
        # One that ended in order: the peer should not send more. RST_STREAM is sent once, not for
        # each frame that was under way, or a peer could have us answer without end.
        if id not in self._reset:
            self._sender.send_reply(h2_frames.reset_frame(id, Code.STREAM_CLOSED))

    def _check_not_idle(self, id: int) -> None:
        if id > self._last or id % 2 == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {id} is idle")

    def _on_headers(self, flags: int, id: int, payload: bytes) -> None:
        piece = h2_frames.strip_padding(flags, payload)
        faulty = False
        if flags & h2_frames.PRIORITIZED:
            # The stream is at fault, not the connection: the block is still to be decoded.
            faulty, piece = control_frames.parse_dependency(piece) == id, piece[5:]
        if id % 2 == 0:  # even numbers are the server's
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"a client does not open stream {id}")
        # A stream that we reset may still be sent trailers, which were under way: those are not a
        # fault of the peer, but their block changes the table of HPACK and has to be decoded.
        if id <= self._last and id not in self._streams and id not in self._reset:
            raise ConnectionFault(Code.STREAM_CLOSED, f"stream {id} has ended")
        ended = bool(flags & h2_frames.END_STREAM)
        # END_STREAM is a flag of HEADERS, END_HEADERS of the last CONTINUATION: the block remembers
        # the first until the second comes.
        self._block = Block(id, ended, faulty, fields.MAX_BLOCK)
        self._extend_block(self._block, flags, piece)

    def _on_continuation(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._extend_block(self._block, flags, payload)

    def _extend_block(self, block: Block, flags: int, piece: bytes) -> None:
        if not block.add(piece, bool(flags & h2_frames.END_HEADERS)):
            return
        self._block = None
        # Whatever becomes of the stream: a block that is not decoded spoils the table for the rest.
        header_fields = self._decoder.decode(block.data)
        try:
            if block.faulty:
                raise requests.Malformed("a stream depends on itself")
            if block.stream > self._last:
                self._last = block.stream
                self._open_stream(block, header_fields)
            elif block.stream in self._streams:
                self._on_trailers(block, header_fields)
        except requests.Malformed:
            # The stream counts as opened, or its later frames would be those of an idle one.
            self._last = max(self._last, block.stream)
            self._fail_stream(block.stream, Code.PROTOCOL_ERROR)

    def _open_stream(self, block: Block, header_fields: list[fields.Field]) -> None:
        metadata = requests.parse_request(header_fields)
        length = requests.parse_length(metadata)
        if block.ended and length:
            raise requests.Malformed("there is no body, but a length of it")
        if self._closing or len(self._streams) >= MAX_STREAMS:
            self._fail_stream(block.stream, Code.REFUSED_STREAM)
            return
        # A refused stream is one that nothing was done for: clients may send it again (RFC 9113,
        # 8.7).
        self._streams[block.stream] = Incoming(Window(STREAM_WINDOW), not block.ended, length)
        self._sender.open_stream(block.stream)
        self._events.append(Opened(block.stream, metadata, block.ended))

    def _on_trailers(self, block: Block, header_fields: list[fields.Field]) -> None:
        stream = self._streams[block.stream]
        if not stream.open:
            self._fail_stream(block.stream, Code.STREAM_CLOSED)
            return
        # A second header block of a stream is its trailers, and has to end it: RFC 9113, 8.1.
        requests.check_trailers(header_fields)
        if not block.ended or not stream.fits(0, ended=True):
            raise requests.Malformed("trailers do not end the stream, or the body is cut short")
        stream.open = False
        self._events.append(Received(block.stream, b"", True))

    def _on_priority(self, id: int, payload: bytes) -> None:
        """Priorities are ignored (RFC 9113, 5.3.2), but for a stream that depends on itself."""
        control_frames.check_size(id, payload, 5)
        if control_frames.parse_dependency(payload) == id and id in self._streams:
            self._fail_stream(id, Code.PROTOCOL_ERROR)

    def _on_window_update(self, id: int, payload: bytes) -> None:
        size = control_frames.parse_window_update(payload)
        if id and id not in self._streams:
            self._check_not_idle(id)  # of a closed one it was under way
        # A window that grows by 0 is a fault: RFC 9113, 6.9. The connection's is found by the
        # sender.
        elif id and not size:
            self._fail_stream(id, Code.PROTOCOL_ERROR)
        else:
            try:
                self._report_progress(self._sender.grow_window(id, size))
            except OverflowError:
                self._fail_stream(id, Code.FLOW_CONTROL_ERROR)

    def _on_reset(self, id: int, payload: bytes) -> None:
        control_frames.check_size(id, payload, 4)
        self._check_not_idle(id)
        # Of a stream that has ended here, RST_STREAM was under way when the answer left: not a
        # fault.
        if id in self._streams:
            self._close_stream(id)
            self._events.append(Cancelled(id))

    def _on_settings(self, flags: int, id: int, payload: bytes) -> None:
        values = control_frames.parse_settings(flags, id, payload)
        if values is None:
            return
        if h2_frames.HEADER_TABLE_SIZE in values:
            self._sender.set_table_size(values[h2_frames.HEADER_TABLE_SIZE])
        # First the answer, so that the peer counts on its new windows when they are used.
        self._sender.send_reply(h2_frames.pack_frame(h2_frames.SETTINGS, h2_frames.ACK, 0))
        if h2_frames.INITIAL_WINDOW_SIZE in values:
            self._report_progress(
                self._sender.set_initial_window(values[h2_frames.INITIAL_WINDOW_SIZE])
            )

    def _on_ping(self, flags: int, id: int, payload: bytes) -> None:
        control_frames.check_ping(id, payload)
        if not flags & h2_frames.ACK:
            self._sender.send_reply(h2_frames.pack_frame(h2_frames.PING, h2_frames.ACK, 0, payload))
        # The peer has read all that we sent before the PING, the first GOAWAY too: no stream that
        # it opens from now on can be one it opened without knowing.
        elif self._draining and payload == _DRAIN:
            self._refuse_streams()

    # Sending

    def take_output(self) -> bytes:
        """What is to be sent now."""
        return self._sender.take_output()

    def send_headers(self, id: int, block: bytes, *, end: bool = False) -> None:
        """Starts a stream's answer, or with `end` gives it whole. Nothing happens if it is gone."""
        # The stream may have been reset while its handler was at work: that is no error of the
        # handler.
        if self._sender.send_headers(id, block, end=end) and end:
            self._end_answer(id)

    def send_data(self, id: int, data: bytes) -> int:
        """Sends a piece of the answer; returns how many bytes have to wait for the peer."""
        return self._sender.send_data(id, data)

    def send_trailers(self, id: int, block: bytes) -> None:
        """Ends the answer, after all that waits."""
        if self._sender.end_stream(id, block):
            self._end_answer(id)

    def held_bytes(self, id: int) -> int:
        """How many bytes of the answer wait for the peer; 0 where the stream is gone."""
        return self._sender.held_bytes(id)

    @property
    def unsent_bytes(self) -> int:
        """Bytes of answers that the windows let through and `take_output` has not taken yet."""
        return self._sender.unsent_bytes

    def grant(self, id: int, size: int) -> None:
        """Bytes have been read: the peer may send as many again, unless the stream is gone."""
        stream = self._streams.get(id)
        if stream is None:
            return
        # Half a window at a time: a WINDOW_UPDATE for each piece would be a frame for a frame.
        due = stream.window.give(size)
        if due and stream.open:  # a stream that the peer has ended needs no window
            self._sender.send_control(h2_frames.window_update_frame(id, due))
        self._grant_connection(size)

    def reset_stream(self, id: int, code: Code) -> None:
        """Ends a stream at once. Nothing happens if it is gone."""
        if id in self._streams:
            self._close_stream(id)
            # Remembered before the frame leaves: what the peer sends until it has read it is no
            # fault.
            self._reset.add(id)
            self._sender.send_control(h2_frames.reset_frame(id, code))

    def go_away(self) -> None:
        """Asks for no new streams, then takes none; those under way go on.

        The peer may have opened some that are not here yet. So the first GOAWAY refuses none; the
        second one, which does, follows when the peer has seen the first. Source: RFC 9113, 6.8.
        """
        if not self._settled:
            self._refuse_streams()
        elif not (self._draining or self._closing):
            self._draining = True
            # The highest number refuses none. What the peer opens until it has read this is still
            # taken.
            self._sender.send_control(h2_frames.goaway_frame(h2_frames.MAX_ID, Code.NO_ERROR))
            self._sender.send_control(h2_frames.pack_frame(h2_frames.PING, 0, 0, _DRAIN))

    @property
    def done(self) -> bool:
        """The connection takes no new streams, and none is under way."""
        return self._closing and not self._streams

    def _refuse_streams(self) -> None:
        # From here on `_last` is final: streams above it get REFUSED_STREAM.
        self._draining, self._closing = False, True
        self._sender.send_control(h2_frames.goaway_frame(self._last, Code.NO_ERROR))

    def _report_progress(self, progress: list[SendProgress]) -> None:
        for each in progress:
            self._events.append(Writable(each.stream))
            if each.ended:
                self._end_answer(each.stream)

    def _end_answer(self, id: int) -> None:
        """An answer that is whole before the request is: the rest of the request is not wanted."""
        if self._streams[id].open:
            self.reset_stream(id, Code.NO_ERROR)
        else:
            self._close_stream(id)

    def _fail_stream(self, id: int, code: Code) -> None:
        """Ends a stream by the peer's fault."""
        self._sender.send_reply(h2_frames.reset_frame(id, code))
        self._reset.add(id)
        if id in self._streams:
            self._close_stream(id)
            self._events.append(Cancelled(id))

    def _close_stream(self, id: int) -> None:
        """Forgets a stream; what nobody has read of it no longer counts."""
        self._grant_connection(self._streams.pop(id).window.unread)
        self._sender.close_stream(id)

    def _grant_connection(self, size: int) -> None:
        if due := self._window.give(size):
            self._sender.send_control(h2_frames.window_update_frame(0, due))
