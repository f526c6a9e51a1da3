"""When a model that changed is read: once nothing of it has changed for a while. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.source import Key, ModelFiles

SETTLE_S = 1.0
"""Seconds without a change after which a model counts as complete."""
RETRY_S = 10.0
"""Seconds until a model is read again that could not be read for a reason that may pass."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment, on both clocks."""

    monotonic_s: float
    epoch_ns: int


@dataclass(frozen=True, slots=True)
class TrackedModel:
    """A model of the source: its files as listed last, and what was read of them."""

    model: ModelFiles | None
    """Its files as listed last; None: it was not there."""
    since_s: float
    """Since when they are so, on the monotonic clock."""
    inspected: ModelFiles | None = None
    """Its files when `version` was read."""
    version: ModelVersion | None = None
    """What the catalogue has of it."""
    retry_s: float | None = None
    """When to read it again even if nothing changes, on the monotonic clock."""

    @property
    def is_pending(self) -> bool:
        """Whether it has changed since it was read."""
        return self.model != self.inspected

    def is_settled(self, now: Instant) -> bool:
        """Whether it has not changed for `SETTLE_S`, as we saw or as the times of files tell.

        What is new, and was put there as a whole, has settled as well.
        """
        # Only the first time: a rename into the place of what was there may be one of several.
        if self.version is None and self.model and self.model.is_moved:
            return True
        if now.monotonic_s - self.since_s >= SETTLE_S:
            return True
        changed_ns = self.model.changed_ns if self.model else now.epoch_ns
        # By the times of the files: a model that was there long before this process is read at
        # once.
        return now.epoch_ns - changed_ns >= SETTLE_S * 1e9

    def retried_at(self, retry_s: float) -> TrackedModel:
        """The model after its files could not be had: it stays as it was until then."""
        return replace(self, retry_s=retry_s)

    def with_version(
        self, model: ModelFiles | None, version: ModelVersion | None, retry_s: float | None = None
    ) -> TrackedModel:
        """The model after these files were read as a version, or were found to be gone."""
        return replace(self, inspected=model, version=version, retry_s=retry_s)


def observe_models(
    tracks: Mapping[Key, TrackedModel],
    models: Mapping[Key, ModelFiles],
    now: Instant,
    unreadable: Set[str] = frozenset(),
) -> dict[Key, TrackedModel]:
    """The tracks after the source was listed.

    A model that is gone is tracked until its version is removed. Models of frameworks that are
    unreadable are not known to be gone: they stay as they were.
    """
    observed: dict[Key, TrackedModel] = {}
    for key in sorted(tracks.keys() | models.keys()):
        track, model = tracks.get(key), models.get(key)
        if track is None:
            observed[key] = TrackedModel(model, now.monotonic_s)
        elif model is None and key[0] in unreadable:
            observed[key] = track
        elif track.model != model:
            observed[key] = replace(track, model=model, since_s=now.monotonic_s, retry_s=None)
        elif model is not None or track.is_pending:
            observed[key] = track
    return observed


def due_keys(tracks: Mapping[Key, TrackedModel], now: Instant) -> list[Key]:
    """The models to read now, the smallest first, so that none waits for a large one."""
    due = [key for key, track in tracks.items() if _is_due(track, now)]
    return sorted(due, key=lambda key: _size_bytes(tracks[key]))


def _size_bytes(track: TrackedModel) -> int:
    return track.model.size_bytes if track.model else 0


def _is_due(track: TrackedModel, now: Instant) -> bool:
    if track.retry_s is not None:
        return track.retry_s <= now.monotonic_s
    return track.is_pending and track.is_settled(now)
