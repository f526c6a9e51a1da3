"""Text that Hadoop compressed is what it was, and never more than is asked for."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import zlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.spark.format.hadoop_codecs import decompress

LINE = b'{"class":"' + b"abc" * 20 + b'"}\n'
WRITTEN = {
    ".bz2": "QlpoOTFBWSZTWaiQkYoAACPZgAAQEAAAEDgECAogADEAMBJI9Q8pY7O4kGWAigjb86/i7kinChIVEhIxQA==",
    ".deflate": "eJyrVkrOSSwuVrJSSkxKJhsp1XIBAN+UGtM=",
    ".gz": "H4sIAAAAAAAAAKtWSs5JLC5WslJKTEomGynVcgEA0eWqsUkAAAA=",
    ".lz4": "AAAASQAAABffeyJjbGFzcyI6ImFiYwMAJFBiYyJ9Cg==",
    ".snappy": "AAAASQAAABZJMHsiY2xhc3MiOiJhYmPiAwAIIn0K",
}
"""`LINE` as Spark 4.3.0 wrote it with each codec that its own Hadoop has, in Base64."""
MOST = 1 << 20


def hadoop_blocks(data: bytes, codec: str, piece: int) -> bytes:
    """Two blocks, as Hadoop's stream writes them."""
    made = b""
    for half in (data[: len(data) // 2], data[len(data) // 2 :]):
        made += len(half).to_bytes(4, "big")
        for start in range(0, len(half), piece):
            chunk = pa.compress(half[start : start + piece], codec, asbytes=True)
            made += len(chunk).to_bytes(4, "big") + chunk
    return made


@pytest.mark.parametrize("suffix", WRITTEN)
def test_what_spark_wrote_is_read(suffix: str) -> None:
    assert decompress(suffix, base64.b64decode(WRITTEN[suffix]), MOST) == LINE


@given(
    st.binary(max_size=4000) | st.binary(max_size=20).map(lambda b: b * 300), st.integers(1, 999)
)
def test_what_was_compressed_comes_back(data: bytes, piece: int) -> None:
    written = {
        ".bz2": bz2.compress(data),
        ".deflate": zlib.compress(data),
        ".gz": gzip.compress(data),
        ".lz4": hadoop_blocks(data, "lz4_raw", piece),
        ".snappy": hadoop_blocks(data, "snappy", piece),
        ".zst": pa.compress(data, "zstd", asbytes=True),
        ".txt": data,
    }
    for suffix, compressed in written.items():
        assert decompress(suffix, compressed, MOST) == data, suffix


@given(st.sampled_from([*WRITTEN, ".zst"]), st.binary(max_size=300))
def test_what_is_damaged_is_refused(suffix: str, data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert len(decompress(suffix, data, 1000)) <= 2000


@pytest.mark.parametrize("suffix", [".bz2", ".deflate", ".gz", ".lz4", ".snappy", ".zst"])
def test_what_grows_beyond_all_bounds_is_cut_or_refused(suffix: str) -> None:
    data = bytes(8 << 20)
    written = {
        ".bz2": bz2.compress(data),
        ".deflate": zlib.compress(data),
        ".gz": gzip.compress(data),
        ".lz4": hadoop_blocks(data, "lz4_raw", len(data)),
        ".snappy": hadoop_blocks(data, "snappy", len(data)),
        ".zst": pa.compress(data, "zstd", asbytes=True),
    }
    with contextlib.suppress(ValueError):
        assert len(decompress(suffix, written[suffix], 1 << 16)) <= 1 << 16
