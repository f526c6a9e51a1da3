"""The catalogue of several roots: who is published stays, whichever root is listed first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.published_paths import PublishedPaths

LABELS = ("models", "/srv/more", "s3://bucket/prefix")

VERSIONS = st.builds(
    lambda framework, name, since_ns: ModelVersion(
        (framework, name, "1"), "skops", f"digest of {framework}/{name}", since_ns=since_ns
    ),
    st.sampled_from("ab"),
    st.sampled_from("mn"),
    st.integers(0, 3),
)
LISTINGS = st.tuples(
    st.integers(0, len(LABELS) - 1),
    st.lists(VERSIONS, unique_by=lambda version: version.path),
    st.booleans(),
)


def open_feed(folder: Path) -> CatalogueFeed:
    return CatalogueFeed(LABELS, PublishedPaths(folder / "published.json", LABELS))


def places(versions: tuple[ModelVersion, ...]) -> set[tuple[int, str]]:
    return {(version.root, version.path) for version in versions}


@given(st.lists(LISTINGS, max_size=8))
def test_who_is_published_stays_until_its_root_drops_it(
    listings: list[tuple[int, list[ModelVersion], bool]],
) -> None:
    async def run() -> None:
        with TemporaryDirectory() as folder:
            feed = open_feed(Path(folder))
            published: set[tuple[int, str]] = set()
            for root, versions, is_restarted in listings:
                if is_restarted:
                    feed = open_feed(Path(folder))
                feed.put_versions(root, [replace(version, root=root) for version in versions])
                paths = {version.path for version in versions}
                stay = {each for each in published if each[0] != root or each[1] in paths}
                now = places(feed.catalogue.published)
                unlisted = places(tuple(v for v in feed.catalogue.versions if v.is_reading))
                assert stay <= now | unlisted
                for name in "mn":
                    owners = {
                        (number, path)
                        for number, path in now | unlisted
                        if path.split("/")[1] == name
                    }
                    assert len({(number, path.split("/")[0]) for number, path in owners}) <= 1
                published = stay | now

    asyncio.run(run())


def test_a_root_that_was_alone_keeps_its_names(tmp_path: Path) -> None:
    file = tmp_path / "published.json"
    PublishedPaths(file).store((frozenset({"a/m/1"}),))
    both = PublishedPaths(file, ("models", "more"))
    assert both.owners == (frozenset({"a/m/1"}), frozenset())
    both.store(both.owners)
    swapped = PublishedPaths(file, ("more", "models"))
    assert swapped.owners == (frozenset(), frozenset({"a/m/1"})), "whatever comes first"
    both.store((frozenset({"a/m/1"}), frozenset({"b/n"})))
    assert PublishedPaths(file, ("more", "models")).owners == (
        frozenset({"b/n"}),
        frozenset({"a/m/1"}),
    )
    assert PublishedPaths(file).owners == (frozenset({"a/m/1", "b/n"}),)
