"""Ties a process to its parent by Linux's prctl: when the parent is gone, so is it.

Imported for `die_with_parent`, or preloaded into the forkserver as `hydro_services.up.tied`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def die_with_parent() -> None:
    """Has the kernel kill this process when the thread that started it ends.

    Source: https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html; the setting is
    lost by a fork, so each child has to ask for itself.
    """
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def leave_group() -> None:
    """What a terminal or a script sends to its whole process group is for our parent alone.

    It tells us in our turn. Were we to end as it begins to drain, what is under way would be lost.
    """
    os.setpgid(0, 0)


def set_name(name: str) -> None:
    """What ps and top show for this process; Linux keeps the first 15 bytes."""
    _prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()))


def _prctl(option: int, value: object) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
