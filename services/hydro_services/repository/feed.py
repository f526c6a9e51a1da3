"""Hands each new catalogue to those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from hydro_services.repository.catalogue import Catalogue


class CatalogueFeed:
    """The newest catalogue, and those who wait for the next one."""

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
        """The catalogue, then the newest one whenever there is a newer one."""
        while not self._closed:
            changed = self._changed
            yield self.catalogue
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
