"""What survives the manager: its pipelines, and the endpoints it knew. SQLite in WAL mode.

A transaction is on disk when `save` returns (synchronous=FULL), so it survives kill -9 and a loss
of power. The database is locked for as long as the store is open: two managers cannot share it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from hydro.manager.v1 import manager_service_pb2, pipeline_pb2
from hydro_services.errors import (
    FailedPrecondition,
    HydroError,
    InvalidArgument,
    NewerVersion,
    Unavailable,
)
from hydro_services.manager.domain import conversion
from hydro_services.manager.domain.state import Endpoint, Spec, State, StoredPipeline
from hydro_services.security import private_files

APPLICATION_ID = 0x68796472
"""Marks the file as ours in SQLite's header ("hydr")."""
SCHEMA_VERSION = 1
BUSY_S = 2.0
"""How long to wait for a manager that is just ending."""
SCHEMA = """
CREATE TABLE pipelines (name TEXT PRIMARY KEY, pipeline BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE endpoints (
  service TEXT NOT NULL, instance TEXT NOT NULL, endpoint BLOB NOT NULL, loaded TEXT NOT NULL,
  PRIMARY KEY (service, instance)
) STRICT, WITHOUT ROWID;
"""
PENDING = """
CREATE TABLE IF NOT EXISTS pending (name TEXT PRIMARY KEY, pipeline BLOB NOT NULL)
STRICT, WITHOUT ROWID;
"""
"""Came later than the rest, without another version: who does not know it leaves it alone."""
CONTENTS = ("manager.sqlite*", "ca", "envoy", "targets.*", "token")
"""Of the manager's data folder."""
_WAY_OUT: dict[type[HydroError], str] = {
    FailedPrecondition: "end the other manager, or move the file away to start with nothing",
    Unavailable: "see that the disk has space and may be written, and try again",
}
Statement: TypeAlias = tuple[str, tuple[Any, ...]]
Contents: TypeAlias = tuple[list[StoredPipeline], list[tuple[Endpoint, frozenset[str]]]]


def diff_statements(before: State, after: State) -> list[Statement]:
    """The SQL that turns the stored image of one state into that of another."""
    return [
        *_pipeline_statements(before, after),
        *_pending_statements(before, after),
        *_endpoint_statements(before, after),
    ]


def _pipeline_statements(before: State, after: State) -> Iterator[Statement]:
    for name in before.pipelines.keys() - after.pipelines.keys():
        yield "DELETE FROM pipelines WHERE name = ?", (name,)
    for name, pipeline in after.pipelines.items():
        old = before.pipelines.get(name)
        if pipeline is not old and (
            not old or conversion.pipeline_record(old) != conversion.pipeline_record(pipeline)
        ):
            row = (name, conversion.pipeline_record(pipeline).SerializeToString())
            yield "INSERT OR REPLACE INTO pipelines VALUES (?, ?)", row


def _pending_statements(before: State, after: State) -> Iterator[Statement]:
    """What users asked for that does not serve yet."""
    old, new = ({n: t.spec for n, t in s.pending.items() if t.asked} for s in (before, after))
    for name in old.keys() - new.keys():
        yield "DELETE FROM pending WHERE name = ?", (name,)
    for name, spec in new.items():
        # Without its stages: those follow from the catalogue again, and models may change while it
        # waits.
        if spec != old.get(name):
            row = (name, conversion.pipeline_record(StoredPipeline(spec, ())).SerializeToString())
            yield "INSERT OR REPLACE INTO pending VALUES (?, ?)", row


def _endpoint_statements(before: State, after: State) -> Iterator[Statement]:
    for id in before.endpoints.keys() - after.endpoints.keys():
        yield "DELETE FROM endpoints WHERE service = ? AND instance = ?", tuple(id)
    for id, endpoint in after.endpoints.items():
        loaded = after.loaded[id]
        if endpoint != before.endpoints.get(id) or loaded != before.loaded.get(id):
            message = conversion.endpoint_message(endpoint).SerializeToString()
            row = (*id, message, json.dumps(sorted(loaded)))
            yield "INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?, ?)", row


class Store:
    """The open database. `load` before anything else, in any thread; `save` from the event loop."""

    def __init__(self, path: Path) -> None:
        """Opens the database, or creates it.

        Raises:
            FailedPrecondition: it is corrupt, in use or not ours.
            NewerVersion: it is of a newer version, and left as it is.
        """
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        with self._errors(FailedPrecondition):
            private_files.make_private_folder(path.parent, CONTENTS)
            self._database = sqlite3.connect(
                # Transactions are begun by hand: Python's own would not cover a PRAGMA, and commit
                # at times of their own.
                path,
                timeout=BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._open()
            except (sqlite3.Error, NewerVersion):
                self._database.close()
                raise

    def _open(self) -> None:
        # Before anything is read: the lock is then taken with the first access and kept.
        self._database.execute("PRAGMA locking_mode=EXCLUSIVE")
        is_new = not self._pragma("schema_version")
        if not is_new:
            self._check_marks()
        # FULL: with WAL's usual NORMAL a power failure may lose what a user was told is stored.
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._database.execute(f"PRAGMA {pragma}")
        if is_new:  # in one transaction: a file with tables but without marks would not be ours
            marks = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION};"
            self._database.executescript(f"BEGIN; {SCHEMA} {marks} COMMIT;")
        self._database.execute(PENDING)
        if self._pragma("quick_check") != "ok":
            raise sqlite3.DatabaseError("it is damaged")

    def _check_marks(self) -> None:
        marks = (self._pragma("application_id"), self._pragma("user_version"))
        wanted = (APPLICATION_ID, SCHEMA_VERSION)
        what = f"it has application id and version {marks}, want {wanted}"
        if marks[0] == APPLICATION_ID and marks[1] > SCHEMA_VERSION:
            raise self._newer(what)
        if marks != wanted:
            raise sqlite3.DatabaseError(what)

    def _newer(self, what: str) -> NewerVersion:
        way_out = "a newer hydro-serving has written it: start that, or give another --data"
        return NewerVersion(f"store {self._path}: {what}; {way_out}", path=str(self._path))

    def _pragma(self, name: str) -> Any:
        return self._database.execute(f"PRAGMA {name}").fetchone()[0]

    def load(self) -> Contents:
        """All that is stored.

        Raises:
            FailedPrecondition: a row cannot be read.
            NewerVersion: a pipeline has a policy that this version does not know.
        """
        with self._errors(FailedPrecondition):
            pipelines = self._database.execute("SELECT pipeline FROM pipelines ORDER BY name")
            endpoints = self._database.execute("SELECT endpoint, loaded FROM endpoints")
            known = [self._pipeline(*row) for row in pipelines]
            return known, [_parse_endpoint_row(*row) for row in endpoints]

    def load_pending(self) -> list[Spec]:
        """What users asked for and what did not serve yet. Raises as `load`."""
        with self._errors(FailedPrecondition):
            rows = self._database.execute("SELECT pipeline FROM pending ORDER BY name")
            return [conversion.parse_stored_spec(self._message(*row)) for row in rows]

    def _pipeline(self, record: bytes) -> StoredPipeline:
        return conversion.parse_pipeline_record(self._message(record))

    def _message(self, record: bytes) -> pipeline_pb2.Pipeline:
        message = pipeline_pb2.Pipeline.FromString(record)
        if conversion.has_unknown_fields(message.policy):
            # To leave it out could let in whom it keeps out.
            raise self._newer(f"pipeline {message.name!r} has a policy that is not known here")
        return message

    async def save(self, statements: list[Statement]) -> None:
        """Writes in one transaction; returns when it is on disk.

        Raises:
            Unavailable: it could not be written, and nothing of it was.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._save, statements)

    def _save(self, statements: list[Statement]) -> None:
        with self._errors(Unavailable), self._transaction():
            for sql, row in statements:
                self._database.execute(sql, row)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        # The write lock at once: a deferred transaction could fail in its middle.
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _errors(self, cls: type[HydroError]) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, DecodeError, ValueError, InvalidArgument) as error:
            message = f"store {self._path}: {error}; {_WAY_OUT[cls]}"
            raise cls(message, path=str(self._path)) from error

    def close(self) -> None:
        """Ends writes under way and gives the lock back."""
        self._thread.shutdown()
        self._database.close()


def _parse_endpoint_row(message: bytes, loaded: str) -> tuple[Endpoint, frozenset[str]]:
    endpoint = conversion.parse_endpoint(manager_service_pb2.Endpoint.FromString(message))
    return endpoint, frozenset(json.loads(loaded))
