"""What Hadoop compressed: the codecs by the suffix that each gives to a file. Bounded."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import pyarrow as pa


def decompress(suffix: str, data: bytes, most: int) -> bytes:
    """The bytes before they were compressed, as many as asked for at most; as they are otherwise.

    Args:
        suffix: of the file's name, such as ".gz".
        data: of the file.
        most: bytes that are wanted.

    Raises:
        ValueError: they are not what the suffix says.
    """
    codec = _CODECS.get(suffix)
    if codec is None:
        return data
    try:
        return codec(data, most)
    except (OSError, EOFError, LookupError, ValueError, zlib.error, pa.ArrowException) as error:
        raise ValueError(f"is not {suffix[1:]}: {error}") from error


def _inflate(data: bytes, most: int) -> bytes:
    """Zlib or gzip."""
    return zlib.decompressobj(wbits=47).decompress(data, most)


def _stream_codec(codec: str) -> Callable[[bytes, int], bytes]:
    def expand_stream(data: bytes, most: int) -> bytes:
        with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
            return bytes(stream.read(most))

    return expand_stream


def _block_codec(codec: str, size_of: Callable[[bytes], int]) -> Callable[[bytes, int], bytes]:
    """Blocks, each with its expanded size, of chunks with their own size.

    Source: org.apache.hadoop.io.compress.BlockCompressorStream, 3.4.
    """

    def expand_blocks(data: bytes, most: int) -> bytes:
        made, at = bytearray(), 0
        while at + 4 <= len(data) and len(made) < most:
            end = len(made) + int.from_bytes(data[at : at + 4], "big")
            at += 4
            while len(made) < end:
                length = int.from_bytes(data[at : at + 4], "big")
                chunk = data[at + 4 : at + 4 + length]
                at += 4 + length
                size = size_of(chunk)
                if not 0 < size <= most:
                    raise ValueError(f"a chunk claims {size} bytes")
                made += pa.decompress(chunk, size, codec, asbytes=True)
        return bytes(made)

    return expand_blocks


def _snappy_size(chunk: bytes) -> int:
    """Stands at the start, as a varint."""
    size = 0
    for place, byte in enumerate(chunk[:5]):
        size |= (byte & 127) << (7 * place)
        if byte < 128:
            break
    return size


def _lz4_size(chunk: bytes) -> int:
    """That of all literals and matches: it stands nowhere.

    Source: LZ4 block format, 1.9.
    """
    size = at = 0
    while at < len(chunk):
        token = chunk[at]
        literals, at = _lz4_length(chunk, at + 1, token >> 4)
        at, size = at + literals, size + literals
        if at >= len(chunk):
            break
        match, at = _lz4_length(chunk, at + 2, token & 15)
        size += match + 4
    return size


def _lz4_length(chunk: bytes, at: int, length: int) -> tuple[int, int]:
    """A length that may go on in further bytes, and where those end."""
    if length < 15:
        return length, at
    while chunk[at] == 255:
        length, at = length + 255, at + 1
    return length + chunk[at], at + 1


_CODECS: Mapping[str, Callable[[bytes, int], bytes]] = {
    ".bz2": _stream_codec("bz2"),
    ".deflate": _inflate,
    ".gz": _inflate,
    ".lz4": _block_codec("lz4_raw", _lz4_size),
    ".snappy": _block_codec("snappy", _snappy_size),
    ".zst": _stream_codec("zstd"),
}
