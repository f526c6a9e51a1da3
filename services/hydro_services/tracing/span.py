"""A span, and how its parent is read from a call's metadata. Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

HEADER = "traceparent"
"""Envoy sends it with either provider. Source: https://www.w3.org/TR/trace-context/."""
_PARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1


class Parent(NamedTuple):
    """The span of the caller, of a trace that is sampled."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Span:
    """Work that was done for a call."""

    parent: Parent
    id: str
    """16 hexadecimal digits."""
    name: str
    start_ns: int
    """Since 1970."""
    duration_ns: int
    tags: Mapping[str, str]
    error: str = ""
    """What went wrong; empty: nothing."""


def parse_parent(metadata: Mapping[str, str]) -> Parent | None:
    """The caller's span, of the header traceparent; None: there is none, or it is not sampled."""
    match = _PARENT.fullmatch(metadata.get(HEADER, ""))
    if match is None or not int(match[3], 16) & _SAMPLED:
        return None
    return Parent(match[1], match[2])


def new_id() -> str:
    """An id for a span."""
    return f"{random.getrandbits(64) or 1:016x}"
