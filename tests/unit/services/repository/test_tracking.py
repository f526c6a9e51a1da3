"""When a changed folder is read: only once it has been quiet for a while."""

from __future__ import annotations

from dataclasses import replace

from hydro_services.repository import tracking
from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.source import Key, ModelFiles, Stamp
from hydro_services.repository.tracking import SETTLE_S, Instant, TrackedModel

KEY: Key = ("scikit", "iris")
VERSION = ModelVersion(KEY)
START_NS = 10**18


def at(seconds: float) -> Instant:
    return Instant(1000 + seconds, START_NS + int(seconds * 1e9))


def seen(content: int, changed_s: float = 0.0) -> ModelFiles:
    stamps = (("model.py", Stamp(content, 0, ())),)
    return ModelFiles(stamps, changed_ns=START_NS + int(changed_s * 1e9))


def observed(
    tracks: dict[Key, TrackedModel], model: ModelFiles | None, now: Instant
) -> dict[Key, TrackedModel]:
    return tracking.observe_models(tracks, {KEY: model} if model else {}, now)


def read(tracks: dict[Key, TrackedModel]) -> dict[Key, TrackedModel]:
    model = tracks[KEY].model
    return {KEY: tracks[KEY].with_version(model, VERSION if model else None)}


def test_a_folder_that_is_old_already_is_read_at_once() -> None:
    tracks = observed({}, seen(1, changed_s=-SETTLE_S), at(0))
    assert tracking.due_keys(tracks, at(0)) == [KEY]


def test_a_folder_that_has_just_changed_is_read_when_it_has_settled() -> None:
    tracks = observed({}, seen(1), at(0))
    assert tracking.due_keys(tracks, at(SETTLE_S * 0.9)) == []
    assert tracking.due_keys(tracks, at(SETTLE_S)) == [KEY]


def test_a_new_folder_that_was_moved_there_as_a_whole_is_read_at_once() -> None:
    moved = replace(seen(1), is_moved=True)
    assert tracking.due_keys(observed({}, moved, at(0)), at(0)) == [KEY]


def test_in_the_place_of_one_that_was_read_it_has_to_settle() -> None:
    tracks = read(observed({}, seen(1, changed_s=-SETTLE_S), at(0)))
    tracks = observed(tracks, replace(seen(2, 1), is_moved=True), at(1))
    assert tracking.due_keys(tracks, at(1)) == []
    assert tracking.due_keys(tracks, at(1 + SETTLE_S)) == [KEY]


def test_each_change_starts_the_wait_again() -> None:
    tracks = observed({}, seen(1), at(0))
    for step in range(1, 10):
        now = at(step * SETTLE_S * 0.9)
        tracks = observed(tracks, seen(1 + step, step * SETTLE_S * 0.9), now)
        assert tracking.due_keys(tracks, now) == []


def test_times_in_the_future_do_not_hold_a_folder_back() -> None:
    tracks = observed({}, seen(1, changed_s=1e6), at(0))
    tracks = observed(tracks, seen(1, changed_s=1e6), at(SETTLE_S))
    assert tracking.due_keys(tracks, at(SETTLE_S)) == [KEY]


def test_a_folder_that_was_read_is_not_read_again() -> None:
    tracks = read(observed({}, seen(1), at(0)))
    tracks = observed(tracks, seen(1), at(100))
    assert tracking.due_keys(tracks, at(100)) == []
    assert not tracks[KEY].is_pending


def test_while_it_changes_the_old_version_stays() -> None:
    tracks = read(observed({}, seen(1), at(0)))
    tracks = observed(tracks, seen(2, changed_s=5), at(5))
    assert tracking.due_keys(tracks, at(5)) == []
    assert tracks[KEY].version is VERSION


def test_a_folder_that_is_gone_is_taken_out_when_that_has_settled() -> None:
    tracks = read(observed({}, seen(1), at(0)))
    tracks = observed(tracks, None, at(5))
    assert tracks[KEY].version is VERSION
    assert tracking.due_keys(tracks, at(5)) == []
    assert tracking.due_keys(tracks, at(5 + SETTLE_S)) == [KEY]
    assert read(tracks)[KEY].version is None


def test_a_folder_that_is_replaced_is_never_taken_out() -> None:
    tracks = read(observed({}, seen(1), at(0)))
    tracks = observed(tracks, None, at(5))
    tracks = observed(tracks, seen(2, changed_s=5.1), at(5.1))
    assert tracks[KEY].version is VERSION
    assert tracking.due_keys(tracks, at(5.1 + SETTLE_S)) == [KEY]


def test_a_folder_that_is_gone_is_forgotten() -> None:
    tracks = read(observed(read(observed({}, seen(1), at(0))), None, at(5)))
    assert observed(tracks, None, at(9)) == {}
    never_read = observed({}, seen(1), at(0))
    assert observed(observed(never_read, None, at(0.5)), None, at(0.6)) == {}


def test_what_changed_while_it_was_read_is_read_again() -> None:
    tracks = observed({}, seen(1), at(0))
    tracks = observed(tracks, seen(2, changed_s=5), at(5))
    tracks = {KEY: tracks[KEY].with_version(seen(1), VERSION)}
    assert tracks[KEY].is_pending
    assert tracking.due_keys(tracks, at(5 + SETTLE_S)) == [KEY]


def test_what_could_not_be_read_for_now_is_tried_again() -> None:
    tracks = observed({}, seen(1), at(0))
    tracks = {KEY: tracks[KEY].with_version(seen(1), VERSION, retry_s=at(10).monotonic_s)}
    assert tracking.due_keys(tracks, at(9)) == []
    assert tracking.due_keys(tracks, at(10)) == [KEY]


def test_what_is_below_an_unreadable_framework_stays() -> None:
    tracks = read(observed({}, seen(1), at(0)))
    assert tracking.observe_models(tracks, {}, at(5), {"scikit"}) == tracks
    assert tracking.observe_models(tracks, {}, at(5), {"spark"}) != tracks


def test_the_smallest_is_read_first() -> None:
    large = ModelFiles((("model.py", Stamp(10**9, 0, ())),))
    tracks = tracking.observe_models({}, {("a", "a"): large, ("b", "b"): seen(1)}, at(0))
    assert tracking.due_keys(tracks, at(SETTLE_S)) == [("b", "b"), ("a", "a")]
