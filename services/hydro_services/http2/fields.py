"""Header fields: HPACK both ways. Source: RFC 7541.

Reading keeps the dynamic table, so that what is the same in each call costs a lookup. Writing uses
literals without indexing: our answers have few fields and are made ahead of time.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from hydro_services.http2.h2_frames import Code, ConnectionFault

Field = tuple[str, str]
TABLE_SIZE = 4096
"""Bytes of the dynamic table, which is HTTP/2's default."""
MAX_BLOCK = 65_536
"""Bytes of a header block."""
MAX_LIST = 131_072
"""Bytes of the fields of a block, each with 32 more: a short block can name long fields of the
table many times. Envoy sends at most 60 KiB in at most 100 fields."""
_CACHED = 256
"""Bytes of a text that is worth remembering; longer ones would let a peer fill our memory."""
_STATIC: tuple[Field, ...] = tuple(
    (name.decode(), value.decode()) for name, value in HeaderTable.STATIC_TABLE
)


def _compression_fault(message: str) -> ConnectionFault:
    return ConnectionFault(Code.COMPRESSION_ERROR, message)


class HpackDecoder:
    """The reading side of one connection."""

    def __init__(self) -> None:
        self._table: deque[Field] = deque()
        self._size = 0
        self._limit = TABLE_SIZE

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a whole block.

        Raises:
            ConnectionFault: the block is malformed.
        """
        header_fields: list[Field] = []
        at = size = 0
        try:
            while at < len(block):
                # The first bits tell what it is: 1 indexed, 01 literal that is added, 001 a new
                # size of the table, 0000 and 0001 literal that is not added. RFC 7541, 6.
                first = block[at]
                if first & 0x80:
                    index, at = _read_integer(block, at, 7)
                    field = self._field(index)
                elif first & 0xE0 == 0x20:
                    at = self._resize(block, at, not header_fields)
                    continue
                else:
                    field, at = self._literal(block, at, 6 if first & 0x40 else 4)
                    if first & 0x40:
                        self._add(field)
                header_fields.append(field)
                # 32 is HPACK's own measure of what a field costs its holder: RFC 7541, 4.1.
                size += len(field[0]) + len(field[1]) + 32
                if size > MAX_LIST:
                    raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many header fields")
        except IndexError as error:
            raise _compression_fault("header block is cut short") from error
        return header_fields

    def _field(self, index: int) -> Field:
        if not 0 < index <= len(_STATIC) + len(self._table):
            raise _compression_fault(f"no header field {index}")
        # Indices begin at 1 with the static table's 61 fields; 62 is the newest of the dynamic
        # ones.
        return _STATIC[index - 1] if index <= len(_STATIC) else self._table[index - 62]

    def _resize(self, block: bytes, at: int, at_start: bool) -> int:
        limit, at = _read_integer(block, at, 5)
        # Only before the first field of a block, and never above what our SETTINGS allow (the
        # default): RFC 7541, 4.2.
        if limit > TABLE_SIZE or not at_start:
            raise _compression_fault(f"table size {limit} out of place or over {TABLE_SIZE}")
        self._limit = limit
        self._evict()
        return at

    def _literal(self, block: bytes, at: int, bits: int) -> tuple[Field, int]:
        index, at = _read_integer(block, at, bits)
        if index:
            name = self._field(index)[0]
        else:
            name, at = _read_text(block, at)
        value, at = _read_text(block, at)
        return (name, value), at

    def _add(self, field: Field) -> None:
        # A field larger than the table empties it, and is not kept: that is no fault (RFC 7541,
        # 4.4).
        self._table.appendleft(field)
        self._size += len(field[0]) + len(field[1]) + 32
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + 32


def _read_integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    mask = (1 << bits) - 1
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    # Four more bytes at most: 2**28 is beyond any length here, and a peer cannot have us count on.
    for shift in range(0, 28, 7):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _compression_fault("an integer is too long")


def _read_text(block: bytes, at: int) -> tuple[str, int]:
    huffman = block[at] & 0x80
    length = block[at] & 0x7F
    if length == 0x7F:
        length, at = _read_integer(block, at, 7)
    else:
        at += 1
    end = at + length
    if end > len(block):
        raise _compression_fault("header block is cut short")
    raw = block[at:end]
    if not huffman:
        return raw.decode("latin-1"), end
    # Huffman codes are decoded in Python, and a mesh's header fields are the same few texts.
    return (_decode_huffman_cached(raw) if length <= _CACHED else _decode_huffman(raw)), end


def _decode_huffman(raw: bytes) -> str:
    try:
        return bytes(decode_huffman(raw)).decode("latin-1")
    except HPACKDecodingError as error:
        raise _compression_fault("bad Huffman code") from error


_decode_huffman_cached = functools.lru_cache(4096)(_decode_huffman)


def encode_block(fields: Iterable[Field]) -> bytes:
    """A header block of literals without indexing."""
    block = bytearray()
    for name, value in fields:
        # 0: a literal that is neither indexed nor added, with its name as a text. Never compressed:
        # no table has to be kept in step, and no secret can be guessed from a length (RFC 7541,
        # 7.1).
        block.append(0)
        for text in (name.encode("latin-1"), value.encode("latin-1")):
            block += _encode_length(len(text)) + text
    return bytes(block)


def _encode_length(size: int) -> bytes:
    if size < 127:
        return bytes((size,))
    rest = size - 127
    out = [127]
    while rest >= 128:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*out, rest))
