"""What parts measured at one moment, and what two moments say of the time between. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Labels: TypeAlias = Mapping[str, str]

PREFIXES = ("hydro_", "envoy_hydro_", "envoy_server_", "process_")
"""Names of what is looked at; Envoy tells much more."""
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|Inf|NaN)"
_LINE = re.compile(rf"([a-zA-Z_:][\w:]*)(?:\{{(.*)\}})? ({_NUMBER})(?: \d+)?\s*", re.ASCII)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Scrape:
    """The metrics of one part, as of `/metrics`."""

    at_s: float
    """By a clock that never goes back."""
    values: Mapping[str, list[tuple[Labels, float]]]
    """By name."""

    def total(self, name: str, **labels: str) -> float:
        """The sum of what has these labels; 0 where there is nothing."""
        return sum(v for of, v in self.values.get(name, ()) if labels.items() <= of.items())


def parse_scrape(text: str, at_s: float) -> Scrape:
    """Reads Prometheus's text format; lines that are something else are passed over."""
    values: defaultdict[str, list[tuple[Labels, float]]] = defaultdict(list)
    for line in text.split("\n"):  # a label may hold what else ends a line for Python
        if line.startswith(PREFIXES) and (match := _LINE.fullmatch(line)):
            name, labels, value = match.groups(default="")
            unescaped = {k: _ESCAPED.sub(_unescape, v) for k, v in _LABEL.findall(labels)}
            values[name].append((unescaped, float(value)))
    return Scrape(at_s, dict(values))


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


@dataclass(frozen=True, slots=True)
class ScrapeDelta:
    """How counters of a part rose between two scrapes."""

    before: Scrape
    after: Scrape

    @property
    def seconds(self) -> float:
        return max(self.after.at_s - self.before.at_s, 1e-9)

    def increases(self, name: str, **labels: str) -> Iterator[tuple[Labels, float]]:
        """How much each counter rose; one that fell has begun anew."""
        old = {frozenset(k.items()): v for k, v in self.before.values.get(name, ())}
        for of, value in self.after.values.get(name, ()):
            if labels.items() <= of.items():
                last = old.get(frozenset(of.items()), 0.0)
                yield of, value - last if value >= last else value

    def rate(self, name: str, **labels: str) -> float:
        """The increase of all counters with these labels, a second."""
        return sum(risen for _, risen in self.increases(name, **labels)) / self.seconds


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
