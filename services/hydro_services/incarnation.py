"""Names of the incarnations of a process, which tell when each started: UUIDs of version 7, in hex.

Source: https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7.
"""

from __future__ import annotations

import secrets
import time
import uuid

_MILLISECONDS, _RANDOM_A, _RANDOM_B = 48, 12, 62
"""Bits; between them stand the version and the variant."""


def new(now_ns: int | None = None) -> str:
    """A name that no other incarnation has, for one that starts now; in ns since 1970."""
    ns = time.time_ns() if now_ns is None else now_ns
    bits = (ns // 1_000_000) % 2**_MILLISECONDS
    bits = bits << 4 | 7
    bits = bits << _RANDOM_A | secrets.randbits(_RANDOM_A)
    bits = bits << 2 | 2
    return uuid.UUID(int=bits << _RANDOM_B | secrets.randbits(_RANDOM_B)).hex


def started_ms(incarnation: str) -> int:
    """When an incarnation started, in ms since 1970; 0 where its name does not tell."""
    try:
        found = uuid.UUID(hex=incarnation)
    except ValueError:
        return 0
    return found.int >> 80 if found.version == 7 else 0
