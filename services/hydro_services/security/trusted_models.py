"""The file that lists models that may run their own code: a digest and a remark a line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
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


def add_line(file: Path, digest: str, name: str) -> bool:
    """Appends `<digest>  <name>`; False where the digest is there already."""
    with _lines(file) as lines:
        if any(line.split()[:1] == [digest] for line in lines):
            return False
        lines.append(f"{digest}  {name}")
        return True


def remove_line(file: Path, digest: str) -> None:
    """Removes the lines of a digest."""
    with _lines(file) as lines:
        lines[:] = [line for line in lines if line.split()[:1] != [digest]]


@contextlib.contextmanager
def _lines(file: Path) -> Iterator[list[str]]:
    """The lines, written back as they are at the end; whoever else changes them waits."""
    file = Path(os.path.realpath(file))
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # not of the file, in whose place another is put
        before = file.read_text().splitlines() if file.exists() else []
        lines = list(before)
        yield lines
        if lines != before:
            _replace(file, "".join(f"{line}\n" for line in lines))
    finally:
        os.close(folder)


def _replace(file: Path, text: str) -> None:
    """In one step: runtimes read it at any time."""
    part = file.with_name(f".{file.name}.part")
    part.write_text(text)
    if file.exists():
        part.chmod(file.stat().st_mode & 0o777)
    os.replace(part, file)
