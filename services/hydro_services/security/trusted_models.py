"""The file that lists models that may run their own code: a digest and a remark a line."""

from __future__ import annotations

import re
from pathlib import Path

from hydro_services.errors import InvalidArgument

_LINE = re.compile(r"([0-9a-f]{64})(\s.*)?")


def read_trusted(file: Path | None) -> frozenset[str]:
    """The digests in the file; read anew each time, so that adding one needs no restart.

    Raises:
        InvalidArgument: the file cannot be read, or a line is not a digest.
    """
    if file is None:
        return frozenset()
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read the trusted digests in {file}: {error}") from error
    wanted = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return frozenset(_digest(file, line) for line in wanted)


def _digest(file: Path, line: str) -> str:
    match = _LINE.fullmatch(line)
    if not match:
        want = "want 64 hexadecimal digits and a remark; `hydro models trust` writes such lines"
        raise InvalidArgument(f"{file}: got '{line[:80]}', {want}")
    return match[1]
