"""A store that is watched as the repository does, and a model to put there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LinearRegression

import hydro_models
from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.stores.store import ModelStore
from hydro_services.repository.stores.store_source import StoreSource
from hydro_services.repository.watcher import SourceWatcher

LIMIT_BYTES = 1 << 30
HOME = ("store", "double")
"""The framework and the name of a root that is a model."""


@contextlib.asynccontextmanager
async def watching(
    store: ModelStore, folder: Path
) -> AsyncIterator[tuple[CatalogueFeed, StoreSource]]:
    source = StoreSource(store, HOME, folder, LIMIT_BYTES)
    feed = CatalogueFeed()
    task = asyncio.create_task(SourceWatcher(source, feed).run())
    try:
        yield feed, source
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(feed: CatalogueFeed, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (of a proxy, too, which has threads of its own)
            await asyncio.sleep(0.02)


def published(feed: CatalogueFeed) -> dict[str, ModelVersion]:
    return {f"{version.model}:{version.version}": version for version in feed.catalogue.published}


def saved_model(folder: Path, slope: float) -> dict[str, bytes]:
    x = np.array([[0.0], [1.0]])
    hydro_models.save(LinearRegression().fit(x, [0.0, slope]), folder, x, inputs=["x"])
    return {path.name: path.read_bytes() for path in folder.iterdir()}
