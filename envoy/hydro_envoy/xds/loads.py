"""What Envoys say of the draining clusters: whether requests are under way in them.

By the load reporting service, which Envoys with pipelines call beside ADS:
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol.html#load-reporting-service-lrs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PERIOD_S = 1.0
"""How often an Envoy reports."""
FRESH_S = 10.0
"""How long a report counts."""


@dataclass(slots=True)
class Loads:
    """The last report of each Envoy, by its id."""

    _reports: dict[str, tuple[float, Mapping[str, int]]] = field(default_factory=dict)

    def report(self, node_id: str, under_way: Mapping[str, int], now: float) -> None:
        """An Envoy has reported how many requests and streams are under way, by cluster."""
        self._reports[node_id] = (now, under_way)

    def forget(self, node_id: str) -> None:
        """The Envoy reports no more."""
        self._reports.pop(node_id, None)

    def under_way(self, node_id: str, cluster: str, now: float) -> int | None:
        """How many requests and streams an Envoy has in a cluster; None: no fresh report."""
        at, counts = self._reports.get(node_id, (now - FRESH_S, {}))
        return counts.get(cluster) if now - at < FRESH_S else None
