"""Numbers that parts tell at one moment, and what two moments say of the time between. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Labels: TypeAlias = Mapping[str, str]

PREFIXES = ("hydro_", "envoy_hydro_", "envoy_server_", "process_")
"""Names of what is looked at; Envoy tells much more."""
_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one part told."""

    at_s: float
    """By a clock that never goes back."""
    values: Mapping[str, list[tuple[Labels, float]]]
    """By name."""

    def total(self, name: str, **labels: str) -> float:
        """The sum of what has these labels; 0 where there is nothing."""
        return sum(v for found, v in self.values.get(name, ()) if labels.items() <= found.items())


def parse(text: str, at_s: float) -> Scrape:
    """Reads Prometheus's text format; lines that are none are passed over."""
    values: defaultdict[str, list[tuple[Labels, float]]] = defaultdict(list)
    for line in text.splitlines():
        if line.startswith(PREFIXES) and (found := _LINE.match(line)):
            labels = {k: _ESCAPED.sub(_plain, v) for k, v in _LABEL.findall(found[2] or "")}
            values[found[1]].append((labels, float(found[3])))
    return Scrape(at_s, dict(values))


def _plain(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


@dataclass(frozen=True, slots=True)
class Change:
    """What became more between two scrapes of a part, a second."""

    before: Scrape
    after: Scrape

    @property
    def seconds(self) -> float:
        return max(self.after.at_s - self.before.at_s, 1e-9)

    def counted(self, name: str, **labels: str) -> Iterator[tuple[Labels, float]]:
        """How much each counter rose; one that fell has begun anew."""
        old = {frozenset(k.items()): v for k, v in self.before.values.get(name, ())}
        for found, value in self.after.values.get(name, ()):
            if labels.items() <= found.items():
                last = old.get(frozenset(found.items()), 0.0)
                yield found, value - last if value >= last else value

    def rate(self, name: str, **labels: str) -> float:
        """Of all counters with these labels, a second."""
        return sum(risen for _, risen in self.counted(name, **labels)) / self.seconds


def quantile(q: float, risen: Iterable[tuple[Labels, float]]) -> float | None:
    """Of a histogram's buckets, of one part or many, in its unit; None where nothing was observed.

    Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile.
    """
    buckets: defaultdict[float, float] = defaultdict(float)
    for labels, count in risen:
        buckets[float(labels["le"])] += count
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    rank, low, below = q * buckets[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            inside = buckets[bound] - below
            share = (rank - below) / inside if inside else 1.0
            return low if bound == float("inf") else low + (bound - low) * share
        low, below = bound, buckets[bound]
    return low
