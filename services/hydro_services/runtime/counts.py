"""Counts of models and of the stages that they serve, as numbers that each scrape reads."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
ROWS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)
MAX_STAGES = 10_000
"""Of a model; further stages are counted together."""
OTHERS = ("other", "other")


class Histogram:
    """How many values were at most each bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Values between a bound and the one before, for each bound; then those above all."""
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class StageCounts:
    """Of a stage of a pipeline."""

    active: int = 0
    """Calls under way."""
    calls: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By gRPC's code."""
    rows: int = 0
    failed: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Rows by the reason."""
    seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """From when frames have come until their answer is ready."""


@dataclass(slots=True)
class Counts:
    """Of a model."""

    stages: dict[tuple[str, str], StageCounts] = field(default_factory=dict)
    """By pipeline and stage."""
    batch_rows: Histogram = field(default_factory=lambda: Histogram(ROWS))
    seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """Of an evaluation."""

    def stage(self, pipeline: str, name: str) -> StageCounts:
        key = (pipeline, name)
        counts = self.stages.get(key)
        if counts is None:
            key = key if len(self.stages) < MAX_STAGES else OTHERS
            counts = self.stages.setdefault(key, StageCounts())
        return counts
