"""A span, and where its parent is found. Pure."""

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
    """The span that called us, of a trace that is sampled."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Span:
    """Work that was done for somebody's call."""

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


def parent(metadata: Mapping[str, str]) -> Parent | None:
    """Whose child a span would be; None: nobody wants to know."""
    found = _PARENT.fullmatch(metadata.get(HEADER, ""))
    if found is None or not int(found[3], 16) & _SAMPLED:
        return None
    return Parent(found[1], found[2])


def new_id() -> str:
    """An id for a span."""
    return f"{random.getrandbits(64) or 1:016x}"
