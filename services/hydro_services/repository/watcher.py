"""Notices changes of a source of models, reads the models once they are complete, and publishes.

Each model is read in a task of its own, so that none waits for one that is large or broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Set
from dataclasses import replace

from hydro_services import errors
from hydro_services.repository import tracking
from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.feed import Away, CatalogueFeed
from hydro_services.repository.inspection import Inspection, inspect, unread_version
from hydro_services.repository.source import Key, ModelFiles, ModelSource
from hydro_services.repository.threads import run_in_thread
from hydro_services.repository.tracking import Instant, TrackedModel

logger = logging.getLogger(__name__)

RELIST_S = 10.0
"""Seconds after which the source is listed in any case: some sources report no changes."""
LISTING_SHARE, LISTING_PAUSE_S = 0.05, 60.0
"""How much of the time a large source is listed at most, and the longest pause for that."""
PUBLISH_S = 0.05
"""How long versions that are read one after the other are collected before a catalogue is made."""
LARGE_BYTES = 256 << 20
"""Models of this size and more are read one at a time, beside the smaller ones."""


class SourceWatcher:
    """Keeps what the catalogue has of one source up to date."""

    def __init__(self, source: ModelSource, feed: CatalogueFeed, root: int = 0) -> None:
        """`root`: which of the roots of the feed it is."""
        self.source = source
        self.feed = feed
        self._root = root
        self._tracks: dict[Key, TrackedModel] = {}
        self._reading: dict[Key, asyncio.Task[None]] = {}
        self._lanes = {False: asyncio.Semaphore(2), True: asyncio.Semaphore(1)}
        """How many are read at a time: of the small models, and of the large ones."""
        self._publishing: asyncio.TimerHandle | None = None
        self._places: frozenset[str] = frozenset()
        self._unreadable: Set[str] = frozenset()
        self._answered_ns = time.time_ns()
        """When the source told what is known of it, since the epoch."""
        self._changed = asyncio.Event()
        """Set when the source is to be listed soon."""
        self._moved = asyncio.Event()
        """Set, and another put in its place, when there are other places to listen to."""

    async def start(self, timeout_s: float) -> None:
        """Lists the source and reads its models, at most for a time; what is left, `run` does.

        Raises:
            errors.FailedPrecondition: the source cannot be listed until someone mends it.
        """
        with contextlib.suppress(TimeoutError, errors.Unavailable):
            async with asyncio.timeout(timeout_s):
                await self.list_source()
        await self.wait_until_read(timeout_s)

    async def refresh(self) -> None:
        """Lists the source, reads models that have changed and are complete, and publishes.

        Raises:
            errors.HydroError: the source cannot be listed; what is published stays.
        """
        await self.list_source()
        await self.wait_until_read(None)

    async def list_source(self) -> None:
        """Lists the source, and begins to read models that have changed and are complete.

        Raises:
            errors.HydroError: as `refresh`.
        """
        # Thousands of stat calls, perhaps over a network: not on the loop that answers downloads.
        try:
            listing = await run_in_thread(self.source.list_models)
        except errors.HydroError as error:
            self._set_away(error.message)
            raise
        self._set_answered(listing.answered_ns)
        now = Instant(time.monotonic(), time.time_ns())
        before = self._tracks
        self._tracks = tracking.observe_models(before, listing.models, now, listing.unreadable)
        for key in tracking.due_keys(self._tracks, now):
            # One that is being read is looked at again by the next listing, which finds whether it
            # has changed meanwhile.
            if key not in self._reading:
                self._reading[key] = asyncio.create_task(self._read_model(key))
        self._set_places(listing.places)
        for framework in listing.unreadable - self._unreadable:
            extra = {"path": ascii(framework)}
            logger.warning("folder cannot be read, its models stay as they were", extra=extra)
        self._unreadable = listing.unreadable
        self._publish()

    async def wait_until_read(self, timeout_s: float | None) -> None:
        """Waits until no model is being read, at most for `timeout_s`."""
        if self._reading:
            await asyncio.wait([*self._reading.values()], timeout=timeout_s)
            self._publish()

    async def run(self) -> None:
        """Refreshes after each change, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._report_changes(self._changed))
                await self._list_after_changes(self._changed)
        finally:
            for task in self._reading.values():
                task.cancel()

    async def _list_after_changes(self, changed: asyncio.Event) -> None:
        pause_s = tracking.SETTLE_S  # the source may have changed before it reported changes
        while True:
            with contextlib.suppress(TimeoutError):
                # `asyncio.wait_for` of Python 3.11 may swallow that we are cancelled, so that
                # nothing ends.
                async with asyncio.timeout(pause_s):
                    await changed.wait()
            changed.clear()
            begin_s, pause_s = time.monotonic(), RELIST_S
            try:
                await self.list_source()
                pause_s = self._pause_after(time.monotonic() - begin_s)
            except errors.HydroError:
                pass  # `_set_away` has told it
            except Exception:
                # Whatever one folder does must not end the service of all models: list again later.
                logger.exception("models not listed", extra={"root": self._name})

    def _pause_after(self, listing_s: float) -> float:
        """How long to wait until the next listing, in seconds, if that one took so long."""
        is_settling = any(
            track.is_pending and track.retry_s is None and key not in self._reading
            for key, track in self._tracks.items()
        )
        if is_settling:
            return max(tracking.SETTLE_S, listing_s)
        return max(RELIST_S, min(listing_s / LISTING_SHARE, LISTING_PAUSE_S))

    async def _report_changes(self, changed: asyncio.Event) -> None:
        """Sets the event after each change, or regularly if the source cannot report changes."""
        logged = ""
        while True:
            pause_s = 0.0
            # Runs once the source reports changes: earlier ones were not reported.
            asyncio.get_running_loop().call_soon(changed.set)
            try:
                async for _ in self.source.changes(self._places, self._moved):
                    changed.set()
            except* Exception as failed:
                error = failed.exceptions[0]
                pause_s = RELIST_S if isinstance(error, OSError) else tracking.SETTLE_S
                if str(error) != logged:
                    logged = str(error)
                    extra = {"root": self._name, "error": ascii(logged), "retry_s": pause_s}
                    logger.warning("changes of models are not reported, polling", extra=extra)
                changed.set()
            # 0 after an end in order: the places have changed, and it listens to the others at
            # once.
            await asyncio.sleep(pause_s)

    def _set_away(self, error: str) -> None:
        before = self.feed.away[self._root]
        since_ns = before.since_ns if before else self._answered_ns
        away = Away(since_ns, error)
        self.feed.set_away(self._root, away)
        if before is None or before.error != error:
            extra = {"root": self._name, "error": error, "since": away.since}
            logger.warning("models not listed, what is known of them stays", extra=extra)

    def _set_answered(self, answered_ns: int) -> None:
        self._answered_ns = answered_ns or time.time_ns()
        before = self.feed.away[self._root]
        # What is known from an earlier run does not tell that the source answers.
        if before and not answered_ns:
            self.feed.set_away(self._root, None)
            extra = {"root": self._name, "since": before.since}
            logger.info("models are listed again", extra=extra)

    @property
    def _name(self) -> str:
        """Of the root, for logs; empty where one folder has all models."""
        return ascii(self.feed.names[self._root]).strip("'")

    def _set_places(self, places: frozenset[str]) -> None:
        if places != self._places:
            self._places = places
            # The old event ends the present listening, the new one is for the next.
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    async def _read_model(self, key: Key) -> None:
        """Reads one model; one that changed meanwhile is left for the next listing."""
        try:
            model = self._tracks[key].model
            if model is None:
                self._set_track(key, self._tracks[key].with_version(None, None))
                return
            async with self._lanes[model.size_bytes >= LARGE_BYTES]:
                inspection = await run_in_thread(inspect, self.source, key, model)
            # It may be gone since: then it is not put back.
            if inspection and key in self._tracks:
                self._set_inspected(key, model, inspection)
            elif inspection is None:
                asyncio.get_running_loop().call_later(tracking.SETTLE_S, self._changed.set)
        finally:
            del self._reading[key]

    def _set_inspected(self, key: Key, model: ModelFiles, inspection: Inspection) -> None:
        track = self._tracks[key]
        retry_s = time.monotonic() + tracking.RETRY_S if inspection.is_passing else None
        if retry_s and not inspection.is_fetched and track.version and track.version.is_published:
            self._tracks[key] = track.retried_at(retry_s)
            extra = {"model": ascii("/".join(key)), "error": inspection.version.refused}
            logger.warning("a change of a model not fetched, it stays as it was", extra=extra)
        else:
            self._set_track(key, track.with_version(model, inspection.version, retry_s))

    def _set_track(self, key: Key, track: TrackedModel) -> None:
        self._tracks[key] = track
        _log_version(key, track.version)
        if self._publishing is None:  # at the start hundreds of models are read within moments
            loop = asyncio.get_running_loop()
            self._publishing = loop.call_later(PUBLISH_S, self._publish)

    def _publish(self) -> None:
        if self._publishing:
            self._publishing.cancel()
            self._publishing = None
        self.feed.put_versions(self._root, self._versions())

    def _versions(self) -> Iterator[ModelVersion]:
        for key, track in self._tracks.items():
            if track.version:
                yield replace(track.version, is_reading=track.is_pending, root=self._root)
            elif track.model:
                yield replace(unread_version(key, track.model), root=self._root)


def _log_version(key: Key, version: ModelVersion | None) -> None:
    extra = {"path": ascii("/".join(key))}
    if version is None:
        logger.info("model removed", extra=extra)
    elif version.refused:
        logger.warning("model refused", extra={**extra, "error": version.refused})
    else:
        logger.info("model published", extra={**extra, "digest": version.digest})
