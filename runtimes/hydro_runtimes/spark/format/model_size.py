"""How large a saved model may be: it is untrusted, and may claim more than it holds.

The limit is that of the operator of the process, who knows its memory; a model cannot raise it.
"""

from __future__ import annotations

import os

from hydro_runtimes.errors import InvalidModel

VARIABLE = "HYDRO_MAX_MODEL_VALUES"
DEFAULT = 1 << 27
_BYTES_OF_VALUE = 32
"""The most that a value of a table may take when expanded, on average."""


def max_values() -> int:
    """Numbers or texts in one table, or in one vector or matrix with its unstored zeros.

    Raises:
        InvalidModel: the environment has no such number.
    """
    text = os.environ.get(VARIABLE) or str(DEFAULT)
    if not text.isdecimal() or not 0 < len(text) < 19:
        raise InvalidModel(VARIABLE, f"is {text[:40]!r}, want how many values, such as {DEFAULT}")
    return int(text)


def size_problem(values: int, size_bytes: int = 0) -> str | None:
    """What to say of a table of this size, if it is too large, with the way out."""
    limit = max_values()
    if values <= limit and size_bytes <= limit * _BYTES_OF_VALUE:
        return None
    least = max(values, -(-size_bytes // _BYTES_OF_VALUE))
    of = f" of {size_bytes} bytes, which counts as {least}" if least > values else ""
    allow = f"where memory suffices, start this process with {VARIABLE}={least}"
    return f"has {values} values{of}, want at most {limit}; {allow}"
