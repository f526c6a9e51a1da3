"""Pieces of text to whole lines, and lines apart."""

from __future__ import annotations


class LineCutter:
    """Cuts pieces of text into whole lines; holds at most one line that is not complete."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def held_bytes(self) -> int:
        """Of the line that is not complete."""
        return len(self._rest)

    def feed(self, piece: bytes) -> bytes:
        """The lines that a piece completes, each with its end."""
        end = piece.rfind(b"\n") + 1
        if not end:
            self._rest += piece  # Not a new object each time: a line may come in many pieces.
            return b""
        lines = b"".join((self._rest, piece[:end]))
        self._rest = bytearray(piece[end:])
        return lines

    def end(self) -> bytes:
        """The last line, which needs no end."""
        rest, self._rest = bytes(self._rest), bytearray()
        return rest


def split_lines(text: bytes) -> list[bytes]:
    """The lines that are not blank, without their ends."""
    return [line for line in text.split(b"\n") if line.strip()]
