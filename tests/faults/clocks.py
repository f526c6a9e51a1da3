"""A wall clock of a mesh's own; see `clock/sitecustomize.py`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from whole_mesh import environment

CLOCK = Path(__file__).parent / "clock"


def variables(folder: Path) -> Mapping[str, str]:
    """What a mesh is started with, so that its clock goes as `set_clock` says for the folder."""
    set_clock(folder, 0)
    roots = os.pathsep.join([str(CLOCK), environment()["PYTHONPATH"]])
    return {"PYTHONPATH": roots, "HYDRO_TEST_CLOCK": str(_file(folder))}


def set_clock(folder: Path, off_s: int) -> None:
    """Off by so many seconds. At once, or who reads it would find an empty file."""
    new = folder / "clock.new"
    new.write_text(str(off_s))
    new.rename(_file(folder))


def _file(folder: Path) -> Path:
    return folder / "clock"
