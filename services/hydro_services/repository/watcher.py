"""The task that owns the catalogue: it notices changes, lets them settle, reads and publishes.

Each folder is read by a task of its own, so that none waits for another that is large or odd.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Set
from dataclasses import replace
from pathlib import Path

import watchfiles

from hydro_services import errors
from hydro_services.repository import catalogue, claims, settling
from hydro_services.repository.catalogue import Catalogue, Key, ModelVersion
from hydro_services.repository.inspection import inspect, unread
from hydro_services.repository.memory import Memory
from hydro_services.repository.settling import Instant, Track
from hydro_services.repository.survey import survey

logger = logging.getLogger(__name__)

RESURVEY_S = 10.0
"""Seconds after which folders are looked at in any case: some file systems report no changes."""
DEBOUNCE_MS = 1000
"""How long changes that follow one another are gathered: the most a busy folder delays others."""
PUBLISH_S = 0.05
"""How long versions that are read one after the other are gathered."""
LARGE_BYTES = 256 << 20
"""From this size on, models are read one at a time, beside the others."""


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

    def __init__(self, root: Path, board: Board, memory: Memory | None = None) -> None:
        self.root = root
        self.board = board
        self._memory = memory or Memory(None)
        self._tracks: dict[Key, Track] = {}
        self._reading: dict[Key, asyncio.Task[None]] = {}
        self._lanes = {False: asyncio.Semaphore(2), True: asyncio.Semaphore(1)}
        """How many are read at a time: of the small ones, and of the large ones."""
        self._publishing: asyncio.TimerHandle | None = None
        self._folders: frozenset[str] = frozenset()
        self._unreadable: Set[str] = frozenset()
        self._moved = asyncio.Event()
        """Set, and another put in its place, when there are other folders to listen to."""

    async def refresh(self) -> None:
        """Looks at all folders, reads those that changed and have settled, and publishes.

        Raises:
            errors.FailedPrecondition: the root cannot be read; what is published stays.
        """
        await self.look()
        await self.until_read(None)

    async def look(self) -> None:
        """Looks at all folders, and begins to read those that changed and have settled.

        Raises:
            errors.FailedPrecondition: as `refresh`.
        """
        try:
            seen = await asyncio.to_thread(survey, self.root)
        except OSError as error:
            message = f"models folder {str(self.root)!r}: {error.strerror}; make it or name another"
            raise errors.FailedPrecondition(message) from error
        now = Instant(time.monotonic(), time.time_ns())
        before = self._tracks
        self._tracks = settling.observe(before, seen.sightings, now, seen.unreadable)
        for key in settling.due(self._tracks, now):
            if key not in self._reading:
                self._reading[key] = asyncio.create_task(self._read(key))
        self._listen_to(seen.folders)
        for framework in seen.unreadable - self._unreadable:
            extra = {"folder": ascii(framework)}
            logger.warning("folder cannot be read, its models stay as they were", extra=extra)
        self._unreadable = seen.unreadable
        self._publish()

    async def until_read(self, timeout_s: float | None) -> None:
        """Waits until no folder is being read, or for so long."""
        if self._reading:
            await asyncio.wait([*self._reading.values()], timeout=timeout_s)
            self._publish()

    async def run(self) -> None:
        """Refreshes after each change, until cancelled."""
        changed = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(changed))
                await self._follow(changed)
        finally:
            for task in self._reading.values():
                task.cancel()

    async def _follow(self, changed: asyncio.Event) -> None:
        pause_s = settling.SETTLE_S  # what changes before the system tells it is not missed
        while True:
            with contextlib.suppress(TimeoutError):
                # `wait_for` of Python 3.11 may swallow that we are cancelled: then nothing ends.
                async with asyncio.timeout(pause_s):
                    await changed.wait()
            changed.clear()
            try:
                await self.look()
            except errors.FailedPrecondition as error:
                logger.warning("models not looked at", extra={"error": error.message})
            except Exception:
                # One odd folder more must not end the service of all models: look again later.
                logger.exception("models not looked at")
            pending = any(track.is_pending for track in self._tracks.values())
            pause_s = settling.SETTLE_S if pending else RESURVEY_S

    async def _listen(self, changed: asyncio.Event) -> None:
        """Sets the event after each change; where the system tells none, every so often."""
        told = ""
        while True:
            pause_s = 0.0
            # Called when the system has begun to tell: what changed before was not told.
            asyncio.get_running_loop().call_soon(changed.set)
            try:
                async for _ in _changes(self._folders, self._moved):
                    changed.set()
            except* Exception as failed:
                error = failed.exceptions[0]
                pause_s = RESURVEY_S if isinstance(error, OSError) else settling.SETTLE_S
                if str(error) != told:
                    told = str(error)
                    extra = {"error": ascii(told), "retry_s": pause_s}
                    logger.warning("the system tells no changes of files", extra=extra)
                changed.set()
            await asyncio.sleep(pause_s)

    def _listen_to(self, folders: frozenset[str]) -> None:
        if folders != self._folders:
            self._folders = folders
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    async def _read(self, key: Key) -> None:
        """Reads one folder; one that changed meanwhile is left for a later look."""
        try:
            sighting = self._tracks[key].sighting
            if sighting is None:
                self._note(key, self._tracks[key].read(None, None))
                return
            async with self._lanes[sighting.size_bytes >= LARGE_BYTES]:
                found = await asyncio.to_thread(inspect, self.root, key, sighting)
            if found and key in self._tracks:
                retry_s = time.monotonic() + settling.RETRY_S if found.is_passing else None
                self._note(key, self._tracks[key].read(sighting, found.version, retry_s))
        finally:
            del self._reading[key]

    def _note(self, key: Key, track: Track) -> None:
        self._tracks[key] = track
        _log(key, track.version)
        if self._publishing is None:
            loop = asyncio.get_running_loop()
            self._publishing = loop.call_later(PUBLISH_S, self._publish)

    def _publish(self) -> None:
        if self._publishing:
            self._publishing.cancel()
            self._publishing = None
        versions = tuple(self._versions())
        owners = self._memory.owners
        found = catalogue.build(versions, owners)
        there = {version.path for version in versions}
        published = {version.path for version in found.published}
        self._memory.keep(claims.owners(owners, there, published))
        self.board.publish(found)

    def _versions(self) -> Iterator[ModelVersion]:
        for key, track in self._tracks.items():
            if track.version:
                yield replace(track.version, is_reading=track.is_pending)
            elif track.sighting:
                yield unread(key, track.sighting)


def _changes(folders: frozenset[str], moved: asyncio.Event) -> AsyncIterator[object]:
    # A folder whose name is no text cannot be listened to: it is looked at every so often.
    named = (folder for folder in folders if os.fsencode(folder).decode(errors="ignore") == folder)
    return watchfiles.awatch(
        *sorted(named),
        watch_filter=None,
        debounce=DEBOUNCE_MS,
        stop_event=moved,
        recursive=False,  # else it would follow links out of the root
        ignore_permission_denied=True,
    )


def _log(key: Key, version: ModelVersion | None) -> None:
    extra = {"model": ascii("/".join(key))}
    if version is None:
        logger.info("model removed", extra=extra)
    elif version.refused:
        logger.warning("model refused", extra={**extra, "error": version.refused})
    else:
        logger.info("model published", extra={**extra, "digest": version.digest})
