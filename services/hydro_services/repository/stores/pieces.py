"""A download in pieces, which goes on where it was cut."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

PIECE_BYTES = 8 << 20
"""What is asked for at a time, and the most that is fetched again after a cut."""
CONNECT_S, READ_S = 5, 30
"""How long a store may take to be connected to, and to send the next bytes."""


def complete_file(part: Path, size_bytes: int, read: Callable[[int, int], bytes]) -> None:
    """Appends what lacks of a file.

    Args:
        part: has a beginning of the content, or nothing.
        size_bytes: of the content.
        read: gives the bytes from an offset up to another; raises what this then raises.
    """
    with part.open("r+b") as file:
        # After a crash of the machine the last piece may not be what was written.
        there = part.stat().st_size // PIECE_BYTES * PIECE_BYTES
        file.truncate(there)
        file.seek(there)
        while there < size_bytes:
            end = min(there + PIECE_BYTES, size_bytes)
            piece = read(there, end)
            if len(piece) != end - there:
                raise OSError(f"got {len(piece)} bytes from {there}, want {end - there}")
            file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            there = end
