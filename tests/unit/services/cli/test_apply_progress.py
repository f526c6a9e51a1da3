"""What `hydro pipelines apply` tells while a pipeline is pending."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator

import pytest

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_services import errors
from hydro_services.cli import apply_progress
from hydro_services.cli.apply_progress import ApplyProgress
from hydro_services.cli.output import Output

LOADING = errors.Unavailable("model m is not loaded", awaits="load", stage="s/m", loaded="0")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pending(error: errors.HydroError, state: int = pb.PIPELINE_STATE_PENDING) -> pb.Pipeline:
    found = pb.Pipeline(name="p", etag="e1")
    found.state = state  # type: ignore[assignment]
    found.error.CopyFrom(errors.to_status(error))
    return found


def progress(*, json: bool = False, err: io.StringIO | None = None) -> tuple[ApplyProgress, Clock]:
    clock = Clock()
    output = Output(json, io.StringIO(), err or io.StringIO())
    return ApplyProgress("p", output, clock), clock


def written(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_where_nobody_looks_each_piece_of_news_is_a_line() -> None:
    told, clock = progress()
    told.show_state(pending(LOADING))
    clock.now = 5.0
    told.show_state(pending(LOADING))
    told.show_time()
    told.show_state(pending(errors.ModelRefused("it is cut"), pb.PIPELINE_STATE_FAILED))
    told.end()
    want = "p  pending  model m is not loaded\np  failed  it is cut\n"
    assert (written(told.output.err), written(told.output.out)) == (want, "")


def test_a_terminal_has_one_line_that_changes_and_goes() -> None:
    told, clock = progress(err=Terminal())
    told.show_time()
    told.show_state(pending(LOADING))
    clock.now = 7.2
    told.show_time()
    told.end()
    clear = apply_progress.CLEAR_LINE
    lines = written(told.output.err).split(clear)
    assert lines == [
        "",
        "p  0 s  pending  model m is not loaded",
        "p  7 s  pending  model m is not loaded",
        "",
    ]
    assert "\n" not in written(told.output.err)


def test_programs_get_events_as_lines_of_json_on_a_terminal_too() -> None:
    told, clock = progress(json=True, err=Terminal())
    clock.now = 1.26
    told.show_state(pending(LOADING))
    told.show_time()
    told.end()
    (line,) = written(told.output.out).splitlines()
    assert json.loads(line) == {
        "event": "pending",
        "name": "p",
        "elapsed_s": 1.3,
        "etag": "e1",
        "reason": "model m is not loaded",
        "awaits": "load",
        "stage": "s/m",
        "loaded": "0",
    }
    assert written(told.output.err) == ""


def test_who_leaves_is_told_what_becomes_of_it() -> None:
    told, _ = progress()
    told.tell_leaving()
    told.show_state(pending(LOADING))
    told.tell_leaving()
    first, _, last = written(told.output.err).splitlines()
    assert "pipeline 'p' may be pending; look with `hydro pipelines get p`" in first
    assert "stays pending and becomes ready by itself" in last
    assert "give it up with `hydro pipelines delete p`" in last


class Manager:
    """A manager that goes away a few times while somebody waits."""

    def __init__(self, absences: int, *, tells: bool = True) -> None:
        self.absences = absences
        self.tells = tells
        self.etags: list[str] = []

    async def apply_pipeline(self, wanted: pb.Pipeline, timeout_s: float) -> pb.Pipeline:
        self.etags.append(wanted.etag)
        if len(self.etags) <= self.absences:
            await asyncio.sleep(0.02)
            raise errors.Unavailable("the manager does not answer")
        return pb.Pipeline(name=wanted.name, state=pb.PIPELINE_STATE_READY)

    async def watch_pipeline(self, name: str) -> AsyncIterator[pb.Pipeline]:
        if self.tells:
            yield pending(LOADING)
        raise errors.Unavailable("the manager does not answer")


async def test_a_manager_that_goes_away_is_waited_for_by_the_etag_of_what_is_pending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FIRST_S", "AGAIN_S"):
        monkeypatch.setattr(apply_progress, name, 0.0)
    told, _ = progress()
    manager = Manager(absences=2)
    wanted = pb.Pipeline(name="p", etag="before")
    applied = await apply_progress.apply_pipeline(manager, wanted, 30.0, told)  # type: ignore[arg-type]
    assert applied.state == pb.PIPELINE_STATE_READY
    assert manager.etags == ["before", "e1", "e1"], "what somebody else wants is left alone"


async def test_what_was_never_pending_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply_progress, "FIRST_S", 0.0)
    told, _ = progress()
    manager = Manager(absences=1, tells=False)
    with pytest.raises(errors.Unavailable, match="does not answer"):
        await apply_progress.apply_pipeline(manager, pb.Pipeline(name="p"), 30.0, told)  # type: ignore[arg-type]
