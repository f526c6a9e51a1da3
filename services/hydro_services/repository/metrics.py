"""The metrics of the repository."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from hydro_services.metrics import Family, Reading
from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.feed import Away, CatalogueFeed


def read_metrics(feed: CatalogueFeed) -> Reading:
    """The numbers as they are now."""
    versions, away, names = feed.catalogue.versions, tuple(feed.away), feed.names

    def make() -> Iterable[Family]:
        return (_count_versions(versions, names), _read_away(away, names))

    return make


def _count_versions(versions: Iterable[ModelVersion], names: Iterable[str]) -> Family:
    counts = Counter((version.root, _state(version)) for version in versions)
    return Family(
        "hydro_repository_versions",
        "gauge",
        "Versions of models, by root and state",
        ("root", "state"),
        [
            ((name, state), counts[root, state])
            for root, name in enumerate(names)
            for state in ("published", "refused", "reading")
        ],
    )


def _read_away(away: Iterable[Away | None], names: Iterable[str]) -> Family:
    now_ns = time.time_ns()
    return Family(
        "hydro_repository_away_seconds",
        "gauge",
        "Seconds since a root told its models last; 0 while it does",
        ("root",),
        [
            ((name,), max(0.0, (now_ns - each.since_ns) / 1e9) if each else 0.0)
            for each, name in zip(away, names, strict=True)
        ],
    )


def _state(version: ModelVersion) -> str:
    if version.refused:
        return "refused"
    return "published" if version.digest else "reading"
