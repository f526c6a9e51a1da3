"""That a command line makes no sense."""

from __future__ import annotations


class UsageError(Exception):
    """The message says what is wanted."""
