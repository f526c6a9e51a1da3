"""The task that owns the catalogue: it notices changes, lets them settle, reads and publishes.

Each folder is read by a task of its own, so that none waits for another that is large or odd.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Set
from dataclasses import replace

from hydro_services import errors
from hydro_services.repository import catalogue, claims, settling
from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.inspection import inspect, unread_version
from hydro_services.repository.memory import Memory
from hydro_services.repository.settling import Instant, Track
from hydro_services.repository.source import Key, Source

logger = logging.getLogger(__name__)

RESURVEY_S = 10.0
"""Seconds after which folders are looked at in any case: some file systems report no changes."""
PUBLISH_S = 0.05
"""How long versions that are read one after the other are gathered."""
LARGE_BYTES = 256 << 20
"""From this size on, models are read one at a time, beside the others."""


class Watcher:
    """Feeds the catalogue of what a source has."""

    def __init__(self, source: Source, feed: CatalogueFeed, memory: Memory | None = None) -> None:
        self.source = source
        self.feed = feed
        self._memory = memory or Memory(None)
        self._tracks: dict[Key, Track] = {}
        self._reading: dict[Key, asyncio.Task[None]] = {}
        self._lanes = {False: asyncio.Semaphore(2), True: asyncio.Semaphore(1)}
        """How many are read at a time: of the small ones, and of the large ones."""
        self._publishing: asyncio.TimerHandle | None = None
        self._places: frozenset[str] = frozenset()
        self._unreadable: Set[str] = frozenset()
        self._moved = asyncio.Event()
        """Set, and another put in its place, when there are other places to listen to."""

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
        listing = await asyncio.to_thread(self.source.list_models)
        now = Instant(time.monotonic(), time.time_ns())
        before = self._tracks
        self._tracks = settling.observe(before, listing.models, now, listing.unreadable)
        for key in settling.due(self._tracks, now):
            if key not in self._reading:
                self._reading[key] = asyncio.create_task(self._read(key))
        self._listen_to(listing.places)
        for framework in listing.unreadable - self._unreadable:
            extra = {"folder": ascii(framework)}
            logger.warning("folder cannot be read, its models stay as they were", extra=extra)
        self._unreadable = listing.unreadable
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
            except errors.HydroError as error:
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
                async for _ in self.source.changes(self._places, self._moved):
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

    def _listen_to(self, places: frozenset[str]) -> None:
        if places != self._places:
            self._places = places
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    async def _read(self, key: Key) -> None:
        """Reads one folder; one that changed meanwhile is left for a later look."""
        try:
            model = self._tracks[key].model
            if model is None:
                self._note(key, self._tracks[key].read(None, None))
                return
            async with self._lanes[model.size_bytes >= LARGE_BYTES]:
                inspection = await asyncio.to_thread(inspect, self.source, key, model)
            if inspection and key in self._tracks:
                retry_s = time.monotonic() + settling.RETRY_S if inspection.is_passing else None
                self._note(key, self._tracks[key].read(model, inspection.version, retry_s))
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
        self.feed.publish(found)

    def _versions(self) -> Iterator[ModelVersion]:
        for key, track in self._tracks.items():
            if track.version:
                yield replace(track.version, is_reading=track.is_pending)
            elif track.model:
                yield unread_version(key, track.model)


def _log(key: Key, version: ModelVersion | None) -> None:
    extra = {"model": ascii("/".join(key))}
    if version is None:
        logger.info("model removed", extra=extra)
    elif version.refused:
        logger.warning("model refused", extra={**extra, "error": version.refused})
    else:
        logger.info("model published", extra={**extra, "digest": version.digest})
