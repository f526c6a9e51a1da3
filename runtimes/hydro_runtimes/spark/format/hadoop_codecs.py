"""Decompression of what Hadoop compressed, by the suffix of the file, up to a limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import pyarrow as pa


def decompress(suffix: str, data: bytes, most: int) -> bytes:
    """The decompressed bytes of a file; the bytes as they are if its suffix is of no codec.

    Args:
        suffix: of the file's name, such as ".gz".
        data: the bytes of the file.
        most: the number of decompressed bytes after which to stop.

    Raises:
        ValueError: the bytes are not what the suffix says.
    """
    codec = _CODECS.get(suffix)
    if codec is None:
        return data
    try:
        return codec(data, most)
    except (OSError, EOFError, LookupError, ValueError, zlib.error, pa.ArrowException) as error:
        raise ValueError(f"is not {suffix[1:]}: {error}") from error


def _inflate(data: bytes, most: int) -> bytes:
    """Zlib or gzip: wbits 32 + 15 recognizes either header."""
    return zlib.decompressobj(wbits=47).decompress(data, most)


def _stream_codec(codec: str) -> Callable[[bytes, int], bytes]:
    def expand_stream(data: bytes, most: int) -> bytes:
        with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
            return bytes(stream.read(most))

    return expand_stream


def _block_codec(codec: str, size_of: Callable[[bytes], int]) -> Callable[[bytes, int], bytes]:
    """A codec of blocks: each has its decompressed size, then chunks with their compressed size.

    Both sizes are big-endian ints of 4 bytes.
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
                # The size is read from the chunk before its bytes are made, so that no chunk can
                # ask for more memory than the limit.
                size = size_of(chunk)
                if not 0 < size <= most:
                    raise ValueError(f"a chunk claims {size} bytes")
                made += pa.decompress(chunk, size, codec, asbytes=True)
        return bytes(made)

    return expand_blocks


def _snappy_size(chunk: bytes) -> int:
    """The decompressed size, which stands at the start of a chunk as a varint."""
    size = 0
    for place, byte in enumerate(chunk[:5]):
        size |= (byte & 127) << (7 * place)
        if byte < 128:
            break
    return size


def _lz4_size(chunk: bytes) -> int:
    """The decompressed size: the sum of all literals and matches, for LZ4 does not state it.

    A match has at least 4 bytes, and 2 bytes of offset before its length.
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
    """A length, of which 15 means that further bytes are added; and where those end."""
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
