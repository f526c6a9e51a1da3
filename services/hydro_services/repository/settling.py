"""When a folder that changed is looked at: once nothing in it has changed for a while. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.source import Key, ModelFiles

SETTLE_S = 1.0
"""Seconds without a change before a folder is taken for whole."""
RETRY_S = 10.0
"""Seconds until a folder is read again that could not be for a reason which may pass."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment, on both clocks."""

    monotonic_s: float
    epoch_ns: int


@dataclass(frozen=True, slots=True)
class Track:
    """What is known of a folder."""

    model: ModelFiles | None
    """As it was last seen; None when it was not there."""
    since_s: float
    """Since when it has been so, on the monotonic clock."""
    inspected: ModelFiles | None = None
    """As it was when `version` was read."""
    version: ModelVersion | None = None
    """What the catalogue has of it."""
    retry_s: float | None = None
    """When to read it again though it is as it was, on the monotonic clock."""

    @property
    def is_pending(self) -> bool:
        """Whether the folder is not as it was when it was read."""
        return self.model != self.inspected

    def is_settled(self, now: Instant) -> bool:
        """Whether it has long been so, by our own watch or by the times of the files."""
        if now.monotonic_s - self.since_s >= SETTLE_S:
            return True
        changed_ns = self.model.changed_ns if self.model else now.epoch_ns
        return now.epoch_ns - changed_ns >= SETTLE_S * 1e9

    def read(
        self, model: ModelFiles | None, version: ModelVersion | None, retry_s: float | None = None
    ) -> Track:
        """The track once what was there has been read, or its absence taken note of."""
        return replace(self, inspected=model, version=version, retry_s=retry_s)


def observe(
    tracks: Mapping[Key, Track],
    models: Mapping[Key, ModelFiles],
    now: Instant,
    unreadable: Set[str] = frozenset(),
) -> dict[Key, Track]:
    """The tracks after a source was listed; of what is gone, the tracks of what was read stay.

    What is below frameworks that are unreadable is not known to be gone: it stays as it was.
    """
    observed: dict[Key, Track] = {}
    for key in sorted(tracks.keys() | models.keys()):
        track, model = tracks.get(key), models.get(key)
        if track is None:
            observed[key] = Track(model, now.monotonic_s)
        elif model is None and key[0] in unreadable:
            observed[key] = track
        elif track.model != model:
            observed[key] = replace(track, model=model, since_s=now.monotonic_s)
        elif model is not None or track.is_pending:
            observed[key] = track
    return observed


def due(tracks: Mapping[Key, Track], now: Instant) -> list[Key]:
    """Those to be read now, the smallest first: none is to wait for a large one."""
    found = [key for key, track in tracks.items() if _is_due(track, now)]
    return sorted(found, key=lambda key: _size_bytes(tracks[key]))


def _size_bytes(track: Track) -> int:
    return track.model.size_bytes if track.model else 0


def _is_due(track: Track, now: Instant) -> bool:
    if track.is_pending:
        return track.is_settled(now)
    return track.retry_s is not None and track.retry_s <= now.monotonic_s
