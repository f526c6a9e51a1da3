"""Rows as they come from a file, a pipe or a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import BinaryIO

from hydro_services.codecs.whole_lines import LineCutter, split_lines

PIECE_BYTES = 1 << 20


@contextlib.contextmanager
def open_rows(path: str) -> Iterator[BinaryIO]:
    """The file, or stdin for `-`."""
    if path == "-":
        yield sys.stdin.buffer
        return
    with open(path, "rb", buffering=0) as file:
        yield file


def read_pieces(file: BinaryIO) -> Iterator[bytes]:
    """What is there to read, as soon as it is there."""
    while piece := os.read(file.fileno(), PIECE_BYTES):
        yield piece


async def read_pieces_async(file: BinaryIO) -> AsyncIterator[bytes]:
    """As `read_pieces`, without blocking the event loop on a pipe or a terminal."""
    while True:
        await _wait_readable(file.fileno())
        piece = os.read(file.fileno(), PIECE_BYTES)
        if not piece:
            return
        yield piece


def _set_result(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _wait_readable(number: int) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(number, _set_result, readable)
    except PermissionError:  # a regular file, which is always readable
        return
    try:
        await readable
    finally:
        loop.remove_reader(number)


def whole_lines(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines that each piece completes, without blank ones; a last line needs no end."""
    cutter = LineCutter()
    for piece in pieces:
        if lines := cutter.feed(piece):
            yield split_lines(lines)
    if last := split_lines(cutter.end()):
        yield last


def is_json_array(start: bytes) -> bool:
    """Whether rows that start like this are a JSON array, not one object a line."""
    return start.lstrip()[:1] == b"["
