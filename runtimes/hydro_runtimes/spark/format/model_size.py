"""How large a saved model may be: it is untrusted, and may claim to be larger than its files.

The limit is set by whoever runs the process and knows its memory; a model cannot raise it.
"""

from __future__ import annotations

import os

from hydro_runtimes.errors import InvalidModel

VARIABLE = "HYDRO_MAX_MODEL_VALUES"
DEFAULT = 1 << 27
_BYTES_OF_VALUE = 32
"""The most bytes that a value of a table may take on average when it is decompressed."""


def max_values() -> int:
    """The most numbers or texts in one table, or in one vector or matrix with its unstored zeros.

    Raises:
        InvalidModel: the environment variable is not such a number.
    """
    text = os.environ.get(VARIABLE) or str(DEFAULT)
    if not text.isdecimal() or not 0 < len(text) < 19:
        raise InvalidModel(VARIABLE, f"is {text[:40]!r}, want how many values, such as {DEFAULT}")
    return int(text)


def size_problem(values: int, size_bytes: int = 0) -> str | None:
    """Why a table of this size is too large, with the way out; None if it is not too large.

    Args:
        values: the number of values.
        size_bytes: of all values, decompressed.
    """
    limit = max_values()
    if values <= limit and size_bytes <= limit * _BYTES_OF_VALUE:
        return None
    least = max(values, -(-size_bytes // _BYTES_OF_VALUE))
    of = f" of {size_bytes} bytes, which counts as {least}" if least > values else ""
    allow = f"where memory suffices, start this process with {VARIABLE}={least}"
    return f"has {values} values{of}, want at most {limit}; {allow}"
