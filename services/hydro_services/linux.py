"""What Linux does for processes and knows of them: death with the parent, names, use of CPUs.

On other systems the calls do nothing, and nothing is known. Sources: prctl(2), proc(5).
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
    """Leaves what a terminal or a script signals to its whole process group to our parent.

    It signals us when it is our turn: if we ended as it begins to drain, calls would be lost.
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


def be_killed_first() -> None:
    """Has the kernel kill this process rather than others when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def cpu_seconds(pid: int | None) -> float:
    """The CPU time that a process has used, in seconds; 0 where there is no such process."""
    _, fields = _read_stat(f"/proc/{pid}/stat")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def is_runnable(pid: int | None, but: str = "") -> bool:
    """Whether any thread of a process runs, or waits only for a CPU.

    Args:
        pid: of the process.
        but: the name of threads that do not count.
    """
    stats = map(_read_stat, glob.iglob(f"/proc/{pid}/task/*/stat"))
    return any(fields[:1] == ["R"] and name != but for name, fields in stats)


def child_pids(pid: int | None) -> list[int]:
    """The children of a process, those of all its threads."""
    pids: list[int] = []
    for file in Path("/proc").glob(f"{pid}/task/*/children"):
        with contextlib.suppress(OSError):
            pids += map(int, file.read_text().split())
    return pids


def _read_stat(path: str) -> tuple[str, list[str]]:
    """The name, and fields from `state` on; none where there is no such process or thread."""
    try:
        head, _, fields = Path(path).read_text().rpartition(")")
    except OSError:
        return "", []
    return head.partition("(")[2], fields.split()


def _prctl(option: int, value: object) -> None:
    if sys.platform == "linux":
        _LIBRARY.prctl(option, value, 0, 0, 0)
