"""Makes the catalogue of all roots, and hands each new one to those who wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from hydro_services.repository import name_owners
from hydro_services.repository.catalogue import (
    Catalogue,
    ModelVersion,
    build_catalogue,
    join_place,
)
from hydro_services.repository.published_paths import PublishedPaths


@dataclass(frozen=True, slots=True)
class Away:
    """A root that cannot be listed."""

    since_ns: int
    """When it told what is known of it, since the epoch."""
    error: str

    @property
    def since(self) -> str:
        """The same in UTC, by RFC 3339."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.since_ns / 1e9))


class CatalogueFeed:
    """The newest catalogue of all roots, and those who wait for the next one."""

    def __init__(
        self,
        labels: Sequence[str] = ("",),
        published: PublishedPaths | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Takes the labels of the roots (see `catalogue.build_catalogue`), and their names."""
        self.catalogue = Catalogue({})
        self.names = names or labels
        self.away: list[Away | None] = [None] * len(labels)
        """For each root: since when it cannot be listed."""
        self._labels = labels
        self._published_paths = published or PublishedPaths(None, labels)
        # The models of a root that is still to be listed have their names, whoever is quicker.
        self._versions = [
            [_unlisted_version(path, number) for path in sorted(paths)]
            for number, paths in enumerate(self._published_paths.owners)
        ]
        self._closed = False
        self._changed = asyncio.Event()

    def put_versions(self, root: int, versions: Iterable[ModelVersion]) -> None:
        """Replaces the versions of a root, and publishes the catalogue of all."""
        self._versions[root] = list(versions)
        before = self._published_paths.owners
        places = {
            join_place(label, path)
            for label, paths in zip(self._labels, before, strict=True)
            for path in paths
        }
        everything = [version for each in self._versions for version in each]
        catalogue = build_catalogue(everything, places, self._labels)
        self._published_paths.store(
            tuple(
                name_owners.update_owners(
                    owners,
                    {version.path for version in self._versions[number]},
                    {version.path for version in catalogue.published if version.root == number},
                )
                for number, owners in enumerate(before)
            )
        )
        self.publish(catalogue)

    def set_away(self, root: int, away: Away | None) -> None:
        """Notes that a root cannot be listed, or None: that it can again."""
        self.away[root] = away

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


def _unlisted_version(path: str, root: int) -> ModelVersion:
    return ModelVersion(tuple(path.split("/")), is_reading=True, root=root)
