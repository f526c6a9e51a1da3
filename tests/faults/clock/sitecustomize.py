"""A wall clock that is off by the seconds that a file tells, for the Python of a mesh in a test.

Python imports this by itself where its folder is on PYTHONPATH. Covered is what our packages and
libraries read by `time.time` and `time.time_ns`. Not covered is `datetime.now`, which only what
makes certificates and keys reads, and what compiled code reads for itself: Envoy, gRPC's core with
its TLS, and the times of files. As the Python half of gRPC hands its deadlines to the compiled one,
it gets the true time.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_FILE = Path(os.environ["HYDRO_TEST_CLOCK"])
_true_time_ns = time.time_ns


def _time_ns() -> int:
    return _true_time_ns() + int(_FILE.read_text()) * 10**9


def _time() -> float:
    is_grpc = sys._getframe(1).f_globals.get("__name__", "").startswith("grpc.")
    return (_true_time_ns() if is_grpc else _time_ns()) / 1e9


time.time, time.time_ns = _time, _time_ns
