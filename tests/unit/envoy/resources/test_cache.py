from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hydro_envoy.resources.cache import ResourceCache
from hydro_envoy.snapshot import Ref, Resource, ResourceType, make_resource


class Counted:
    """Builds a resource and counts."""

    def __init__(self) -> None:
        self.built = 0

    def __call__(self) -> Resource:
        self.built += 1
        refs = [Ref(ResourceType.ENDPOINTS, "e")]
        return make_resource(ResourceType.CLUSTER, "c", b"body", refs)


def test_a_piece_is_built_once() -> None:
    cache, build = ResourceCache(), Counted()
    for _ in range(3):
        cache.get("piece", build)
        cache.turn()
    assert build.built == 1


def test_what_a_build_did_not_use_is_forgotten() -> None:
    cache, build = ResourceCache(), Counted()
    cache.get("piece", build)
    cache.turn()
    cache.turn()
    cache.get("piece", build)
    assert build.built == 2


def test_another_process_finds_what_was_built(tmp_path: Path) -> None:
    first, again = Counted(), Counted()
    for build in (first, again):
        cache = ResourceCache(tmp_path)
        found = cache.get("piece", build)
        cache.turn()
        cache.close()
        assert found == build()
    assert (first.built, again.built) == (2, 1), "once more each by the test"


def test_the_disk_forgets_too(tmp_path: Path) -> None:
    cache = ResourceCache(tmp_path)
    cache.get("piece", Counted())
    cache.turn()
    cache.turn()
    cache.close()
    build = Counted()
    cache = ResourceCache(tmp_path)
    cache.get("piece", build)
    cache.close()
    assert build.built == 1


def test_a_broken_file_costs_only_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "resources.sqlite3").write_bytes(b"no database" * 1000)
    cache, build = ResourceCache(tmp_path), Counted()
    assert cache.get("piece", build) == build()
    cache.turn()
    assert "resource cache on disk is not usable" in caplog.text


def test_a_file_that_cannot_be_written_costs_only_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache, build = ResourceCache(tmp_path), Counted()
    with sqlite3.connect(tmp_path / "resources.sqlite3") as other:
        other.execute("DROP TABLE resource")
    other.close()
    for _ in range(2):
        assert cache.get("piece", build) == make_resource(
            ResourceType.CLUSTER, "c", b"body", [Ref(ResourceType.ENDPOINTS, "e")]
        )
        cache.turn()
    assert build.built == 1
    assert caplog.text.count("resource cache on disk is not usable") == 1


def test_the_file_is_a_plain_table(tmp_path: Path) -> None:
    cache = ResourceCache(tmp_path)
    cache.get("piece", Counted())
    cache.turn()
    cache.close()
    with sqlite3.connect(tmp_path / "resources.sqlite3") as database:
        rows = database.execute("SELECT type, name, refs, body FROM resource").fetchall()
    database.close()
    assert rows == [(0, "c", '[[1,"e"]]', b"body")]
