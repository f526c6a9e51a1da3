"""Which names and versions models may have: those of their folders are those that stages name."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
NAME_RULE = "up to 128 letters, digits, '-', '_' and '.', the first one no '-' or '.'"
VERSION = re.compile(r"v?[0-9][A-Za-z0-9_.-]{0,63}")
"""Such as 1, 2, v3 or 1.0.2."""
