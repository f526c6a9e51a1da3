"""What can happen on a connection, for its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opened a stream."""

    stream: int
    metadata: Mapping[str, str]
    ended: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A piece of a stream's body; the last one may be empty."""

    stream: int
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The peer, or a fault of its own, ended a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Writable:
    """Some of what a stream had to hold back has been sent."""

    stream: int


Event: TypeAlias = Opened | Received | Cancelled | Writable
