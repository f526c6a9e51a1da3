"""What Linux tells of processes and does for them: ends with the parent, names, CPUs.

Elsewhere the calls do nothing, and nothing is known. Sources: prctl(2), proc(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_LIBRARY = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Has the kernel send this process a signal when the thread that started it ends.

    Source: https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html; the setting is
    lost by a fork, so each child has to ask for itself.
    """
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def leave_group() -> None:
    """What a terminal or a script sends to its whole process group is for our parent alone.

    It tells us in our turn. Were we to end as it begins to drain, what is under way would be lost.
    """
    os.setpgid(0, 0)


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """What ps and top show for this thread, or for the process where it is the main one.

    Linux keeps the first 15 bytes; a thread has the name of the one that started it.
    """
    _prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()))


def is_first_to_be_killed() -> None:
    """Where memory ends, the kernel kills this process rather than another."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def cpu_s(pid: int | None) -> float:
    """What a process has used of CPUs, in seconds; 0 where there is none."""
    _, fields = _stat(f"/proc/{pid}/stat")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def is_runnable(pid: int | None, but: str = "") -> bool:
    """Whether any thread of a process runs, or would if there were a CPU for it.

    Args:
        pid: of the process.
        but: the name of threads that do not count.
    """
    found = map(_stat, glob.iglob(f"/proc/{pid}/task/*/stat"))
    return any(fields[:1] == ["R"] and name != but for name, fields in found)


def children(pid: int | None) -> list[int]:
    """The processes whose parent it is, or any of its threads."""
    found: list[int] = []
    for file in Path("/proc").glob(f"{pid}/task/*/children"):
        with contextlib.suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def _stat(path: str) -> tuple[str, list[str]]:
    """The name, and fields from `state` on; none where there is no such process or thread."""
    try:
        head, _, fields = Path(path).read_text().rpartition(")")
    except OSError:
        return "", []
    return head.partition("(")[2], fields.split()


def _prctl(option: int, value: object) -> None:
    if sys.platform == "linux":
        _LIBRARY.prctl(option, value, 0, 0, 0)
