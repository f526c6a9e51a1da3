from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hydro.manager.v1 import pipeline_pb2
from hydro.runtime.v1.signature_pb2 import Field, Signature
from hydro.serving.v1.frame_pb2 import DATA_TYPE_FLOAT64
from hydro_envoy.address import Address
from hydro_envoy.mesh import MAIN
from hydro_services import errors
from hydro_services.manager.domain import endpoint_transitions, transitions
from hydro_services.manager.domain.references import parse_chain
from hydro_services.manager.domain.state import (
    Endpoint,
    Model,
    ModelPlacement,
    PendingPipeline,
    ResolvedStage,
    Spec,
    State,
    StoredPipeline,
)
from hydro_services.manager.engine import store
from hydro_services.manager.engine.store import Store

FIELD = Field(name="x", type=DATA_TYPE_FLOAT64, shape=[-1])
MODEL = Model("m", "1", "", "a" * 64, Signature(inputs=[FIELD]))
PIPELINE = StoredPipeline(
    Spec("p", "grpc", {MAIN: parse_chain(["s/m"])}), (ResolvedStage("s/m", "s", MODEL),)
)
ENDPOINT = Endpoint("s", "one", Address("::1", 7), Address("::1", 8), ("skops", "spark"), "i1")
FULL = endpoint_transitions.finish_load(
    transitions.restore_state([PIPELINE], [(ENDPOINT, frozenset())], 1.0),
    ModelPlacement(ENDPOINT.id, "m:1@a"),
    "i1",
)


async def save(path: Path, before: State, after: State) -> None:
    with closing(Store(path)) as opened:
        await opened.save(store.diff_statements(before, after))


def load(path: Path) -> store.Contents:
    with closing(Store(path)) as opened:
        return opened.load()


async def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    await save(tmp_path / "new" / "db", State(), FULL)
    assert load(tmp_path / "new" / "db") == ([PIPELINE], [(ENDPOINT, frozenset(["m:1@a"]))])


async def test_what_was_removed_is_gone(tmp_path: Path) -> None:
    await save(tmp_path / "db", State(), FULL)
    await save(tmp_path / "db", FULL, State())
    assert load(tmp_path / "db") == ([], [])


def test_what_changes_nothing_that_survives_is_not_written() -> None:
    renewed = endpoint_transitions.register_endpoint(FULL, ENDPOINT, 9.0)
    pipeline = replace(PIPELINE, error=errors.InvalidArgument("gone"))
    assert store.diff_statements(FULL, replace(renewed, pipelines={"p": pipeline})) == []


async def test_failed_write_leaves_everything_as_it_was(tmp_path: Path) -> None:
    await save(tmp_path / "db", State(), FULL)
    with closing(Store(tmp_path / "db")) as opened:
        with pytest.raises(errors.Unavailable, match="no such table"):
            await opened.save([*store.diff_statements(FULL, State()), ("DELETE FROM missing", ())])
        assert opened.load()[0] == [PIPELINE]


def test_second_manager_is_kept_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.01)
    with (
        closing(Store(tmp_path / "db")),
        pytest.raises(errors.FailedPrecondition, match="locked; end the other manager"),
    ):
        Store(tmp_path / "db")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            b"not a database, but a text that is long enough", "not a database", id="text"
        ),
        pytest.param(b"SQLite format 3\0" + bytes(4096), "not a database", id="damaged header"),
    ],
)
def test_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "db").write_bytes(content * 100)
    with pytest.raises(errors.FailedPrecondition, match=message):
        Store(tmp_path / "db")


@pytest.mark.parametrize(
    "statement",
    ["PRAGMA user_version = 9", "PRAGMA application_id = 5", "CREATE TABLE other (x)"],
)
def test_database_of_another_kind_or_version_is_refused(tmp_path: Path, statement: str) -> None:
    if not statement.startswith("CREATE"):
        Store(tmp_path / "db").close()
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute(statement)
    with pytest.raises(errors.FailedPrecondition, match="application id and version"):
        Store(tmp_path / "db")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pipelines SET pipeline = x'ffff'",
        "UPDATE endpoints SET endpoint = x'ffff'",
        "UPDATE endpoints SET loaded = '{'",
    ],
)
async def test_row_that_cannot_be_read_is_refused(tmp_path: Path, statement: str) -> None:
    await save(tmp_path / "db", State(), FULL)
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute(statement)
        database.commit()
    with pytest.raises(errors.FailedPrecondition, match="move the file away"):
        load(tmp_path / "db")


async def test_what_a_newer_version_has_written_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    await save(tmp_path / "db", State(), FULL)
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute("PRAGMA journal_mode=DELETE")
        database.execute("PRAGMA user_version = 2")
    before = (tmp_path / "db").read_bytes()
    with pytest.raises(errors.NewerVersion, match=r"2\), want .* start that, or give another"):
        Store(tmp_path / "db")
    assert (tmp_path / "db").read_bytes() == before


async def test_a_policy_of_a_newer_version_is_not_left_out(tmp_path: Path) -> None:
    await save(tmp_path / "db", State(), FULL)
    newer = pipeline_pb2.Pipeline(name="p", chain=["s/m"])
    newer.policy.access.ParseFromString(b"\xfa\x3f\x01x")  # field 1023, bytes
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute("UPDATE pipelines SET pipeline = ?", [newer.SerializeToString()])
        database.commit()
    with pytest.raises(errors.NewerVersion, match="pipeline 'p' has a policy that is not known"):
        load(tmp_path / "db")


async def test_what_is_pending_is_loaded_as_it_was_asked_for(tmp_path: Path) -> None:
    stages = PIPELINE.stages
    unasked = PendingPipeline(replace(PIPELINE.spec, name="r"), stages, asked=False)
    wanted = {
        "q": PendingPipeline(replace(PIPELINE.spec, name="q"), stages, published=True),
        "r": unasked,
    }
    pending = replace(FULL, pending=wanted)
    await save(tmp_path / "db", State(), pending)
    with closing(Store(tmp_path / "db")) as opened:
        assert opened.load_pending() == [wanted["q"].spec]
        assert opened.load()[0] == [PIPELINE]
    ready = replace(pending, pending={"q": replace(wanted["q"], error=errors.Unavailable("x"))})
    assert store.diff_statements(pending, ready) == [], "how far it is can be found out again"
    await save(tmp_path / "db", pending, FULL)
    with closing(Store(tmp_path / "db")) as opened:
        assert opened.load_pending() == []


async def test_a_store_from_before_pipelines_could_be_pending_is_taken(tmp_path: Path) -> None:
    await save(tmp_path / "db", State(), FULL)
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute("DROP TABLE pending")
        database.commit()
    with closing(Store(tmp_path / "db")) as opened:
        assert (opened.load()[0], opened.load_pending()) == ([PIPELINE], [])
