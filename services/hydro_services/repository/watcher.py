"""The task that owns the catalogue: it notices changes, lets them settle, reads and publishes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import watchfiles

from hydro_services import errors
from hydro_services.repository import catalogue, settling
from hydro_services.repository.catalogue import Catalogue, Key, ModelVersion
from hydro_services.repository.inspection import inspect
from hydro_services.repository.settling import Instant, Track
from hydro_services.repository.survey import survey

logger = logging.getLogger(__name__)

RESURVEY_S = 10.0
"""Seconds after which folders are looked at in any case: some file systems report no changes."""
DEBOUNCE_MS = 1000
"""How long changes that follow one another are gathered: the most a busy folder delays others."""


class Board:
    """The present catalogue, and those who wait for the next one."""

    def __init__(self) -> None:
        self.catalogue = Catalogue({})
        self._closed = False
        self._changed = asyncio.Event()

    def publish(self, catalogue: Catalogue) -> None:
        """Replaces the catalogue, if it differs, and wakes all who wait."""
        if catalogue != self.catalogue:
            self.catalogue = catalogue
            self._wake()

    def close(self) -> None:
        """Ends all `changes`."""
        self._closed = True
        self._wake()

    async def changes(self) -> AsyncIterator[Catalogue]:
        """The present catalogue, then the newest one whenever there is a newer one."""
        while not self._closed:
            changed = self._changed
            yield self.catalogue
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Watcher:
    """Keeps a board true to the folders below a root."""

    def __init__(self, root: Path, board: Board) -> None:
        self.root = root
        self.board = board
        self._tracks: dict[Key, Track] = {}

    async def refresh(self) -> None:
        """Looks at all folders, reads those that changed and have settled, and publishes.

        Raises:
            errors.FailedPrecondition: the root cannot be read; what is published stays.
        """
        try:
            sightings = await asyncio.to_thread(survey, self.root)
        except OSError as error:
            message = f"models folder {str(self.root)!r}: {error.strerror}; make it or name another"
            raise errors.FailedPrecondition(message) from error
        now = Instant(time.monotonic(), time.time_ns())
        self._tracks = settling.observe(self._tracks, sightings, now)
        for key in settling.due(self._tracks, now):
            await self._read(key, self._tracks[key])
        versions = [track.version for track in self._tracks.values() if track.version]
        self.board.publish(catalogue.build(versions))

    async def run(self) -> None:
        """Refreshes after each change, until cancelled."""
        async with asyncio.TaskGroup() as group:
            changed = asyncio.Event()
            group.create_task(self._listen(changed))
            pause_s = settling.SETTLE_S  # what changes before the system tells it is not missed
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), pause_s)
                changed.clear()
                try:
                    await self.refresh()
                except errors.FailedPrecondition as error:
                    logger.warning("models not looked at", extra={"error": error.message})
                pending = any(track.is_pending for track in self._tracks.values())
                pause_s = settling.SETTLE_S if pending else RESURVEY_S

    async def _listen(self, changed: asyncio.Event) -> None:
        """Sets the event after each change; where the system tells none, every so often."""
        while True:
            try:
                async for _ in _changes(self.root):
                    changed.set()
            except* (OSError, RuntimeError) as failed:
                extra = {"error": str(failed.exceptions[0]), "retry_s": RESURVEY_S}
                logger.warning("the system tells no changes of files", extra=extra)
            changed.set()
            await asyncio.sleep(RESURVEY_S)

    async def _read(self, key: Key, track: Track) -> None:
        """Reads one folder; one that changed meanwhile is left for the next refresh."""
        version: ModelVersion | None = None
        if track.sighting is not None:
            version = await asyncio.to_thread(inspect, self.root, key, track.sighting)
            if version is None:
                return
        self._tracks[key] = track.read(version)
        _log(key, version)


def _changes(root: Path) -> AsyncIterator[object]:
    return watchfiles.awatch(
        root, watch_filter=None, debounce=DEBOUNCE_MS, ignore_permission_denied=True
    )


def _log(key: Key, version: ModelVersion | None) -> None:
    extra = {"model": repr(key[1]), "version": key[2]}
    if version is None:
        logger.info("model removed", extra=extra)
    elif version.refused:
        logger.warning("model refused", extra={**extra, "error": version.refused})
    else:
        logger.info("model published", extra={**extra, "digest": version.digest})
