"""How many connections of clients an Envoy takes: what its process may open, less its own."""

from __future__ import annotations

import re
import resource

MOST = 50_000
"""However many files a process may open."""
GATEWAY_SHARE = 7 / 8
"""Of the port of pipelines; the rest is for the ports of the APIs, whoever floods the gateway."""
STATS = "/stats?filter=^listener%5C..*downstream_(global_)?cx_overflow$"
"""Where Envoy's admin API tells how many connections its listeners have refused."""
_LINE = re.compile(r"^listener\..*: (\d+)$", re.MULTILINE)


def connection_limit() -> int:
    """Three quarters of the files that a process may open: Envoy opens files and others' ports."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if hard == resource.RLIM_INFINITY else min(MOST, hard * 3 // 4)


def raise_file_limit() -> None:
    """Lets this process, and what it starts, open as many files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def count_refused(stats: str) -> int:
    """The connections that the answer to `STATS` counts."""
    return sum(map(int, _LINE.findall(stats)))
