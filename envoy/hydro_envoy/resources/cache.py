"""Resources that were built before, by what they were built from: in memory and on disk.

Building a resource takes milliseconds, and importing what builds it a second. With the cache a
process that restarts with the mesh it had builds nothing.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import orjson

from hydro_envoy.snapshot import Ref, Resource, ResourceType, make_resource

logger = logging.getLogger(__name__)

_FILE = "resources.sqlite3"


class ResourceCache:
    """What the last build used; older things are forgotten, in memory and on disk.

    The key of a resource is the kind and the piece of the mesh it is built from (its repr, so
    frozen dataclasses of plain values) and the code that builds it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is made if need be; None: in memory alone."""
        self._used: dict[Hashable, tuple[str, Resource]] = {}
        self._before: dict[Hashable, tuple[str, Resource]] = {}
        self._stored: dict[str, Resource] = {}
        self._database: sqlite3.Connection | None = None
        if folder:
            self._open(folder)

    def get(self, piece: Hashable, build: Callable[[], Resource]) -> Resource:
        """The resource of a piece; calls `build` only when it is in no cache."""
        # By the piece itself first: hashing its text costs more than finding it.
        entry = self._before.get(piece)
        if entry is None:
            key = _cache_key(piece)
            entry = (key, self._stored.get(key) or build())
        self._used[piece] = entry
        return entry[1]

    def turn(self) -> None:
        """Ends a build: writes what is new to disk, forgets what the build did not use."""
        # Only what the last build used is kept: a pipeline that is deleted leaves the cache with
        # it.
        self._used, self._before = {}, self._used
        keep = dict(self._before.values())
        if self._database and keep.keys() != self._stored.keys():
            self._save(self._database, keep)
        self._stored = keep

    def close(self) -> None:
        """Closes the file; what is in memory stays."""
        if self._database:
            self._database.close()
            self._database = None

    def _open(self, folder: Path) -> None:
        try:
            self._database = _open_database(folder)
            self._stored = _load_resources(self._database)
        except sqlite3.Error as error:
            self._do_without(error)

    def _save(self, database: sqlite3.Connection, keep: Mapping[str, Resource]) -> None:
        try:
            _write_changes(database, keep, self._stored)
        except sqlite3.Error as error:
            self._do_without(error)

    def _do_without(self, error: sqlite3.Error) -> None:
        """It is only a cache: without it things are built anew, and a restart takes longer."""
        logger.warning("resource cache on disk is not usable", extra={"error": str(error)})
        self.close()


def _cache_key(piece: Hashable) -> str:
    return sha256(f"{_code_revision()}{piece!r}".encode()).hexdigest()


@cache
def _code_revision() -> str:
    """Changes with the code that builds: what another version built is not used."""
    # The whole package, not this folder: what builds resources is spread over several.
    package = Path(__file__).parents[1]
    sources = sorted(path for kind in ("py", "lua", "wasm") for path in package.rglob(f"*.{kind}"))
    digest = sha256(version("envoy-data-plane").encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _open_database(folder: Path) -> sqlite3.Connection:
    folder.mkdir(parents=True, exist_ok=True)
    # Builds may run in threads, one at a time.
    database = sqlite3.connect(folder / _FILE, check_same_thread=False)
    try:
        # A killed process then leaves a file that the next one can read as it was after the last
        # build.
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS resource"
            " (key TEXT PRIMARY KEY, type INTEGER, name TEXT, refs TEXT, body BLOB) WITHOUT ROWID"
        )
    except sqlite3.Error:
        database.close()
        raise
    return database


def _load_resources(database: sqlite3.Connection) -> dict[str, Resource]:
    rows = database.execute("SELECT key, type, name, refs, body FROM resource")
    return {key: _from_row(*row) for key, *row in rows}


def _from_row(type_: int, name: str, refs: str, body: bytes) -> Resource:
    references = [Ref(ResourceType(t), n) for t, n in orjson.loads(refs)]
    return make_resource(ResourceType(type_), name, body, references)


def _write_changes(
    database: sqlite3.Connection, keep: Mapping[str, Resource], stored: Mapping[str, Resource]
) -> None:
    with database:
        database.executemany(
            "DELETE FROM resource WHERE key = ?", [(k,) for k in stored.keys() - keep.keys()]
        )
        database.executemany(
            "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?, ?)",
            [_to_row(key, keep[key]) for key in keep.keys() - stored.keys()],
        )


def _to_row(key: str, each: Resource) -> tuple[str, int, str, str, bytes]:
    refs = orjson.dumps([[int(t), n] for t, n in each.references]).decode()
    return key, int(each.type), each.name, refs, each.body
