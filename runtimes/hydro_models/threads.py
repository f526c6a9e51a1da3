"""How many threads a library of models may use for one evaluation."""

from __future__ import annotations

import os


def thread_count() -> int:
    """OMP_NUM_THREADS, where it is a number; otherwise 1.

    A runtime process evaluates each of its models in a thread of that model. A pool of threads
    below each would fight with those of other models and processes over the same cores.
    """
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return max(int(stated), 1) if stated.isascii() and stated.isdigit() else 1
