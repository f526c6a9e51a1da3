"""Every expected failure has its status."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator

import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

import hydro_services
from hydro_services import errors

TEXTS = st.text(max_size=50)
WRITTEN = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
ERRORS = st.builds(
    lambda cls, message, facts, id: _error(cls, message, facts, id),
    st.sampled_from([*errors.STATUS]),
    WRITTEN,
    st.dictionaries(WRITTEN.filter(lambda name: name not in ("self", "message")), WRITTEN),
    st.from_regex(r"\A[A-Za-z0-9._-]{0,40}\Z"),
)


def _error(
    cls: type[errors.HydroError], message: str, facts: dict[str, str], id: str
) -> errors.HydroError:
    made = cls(message, **facts)
    made.request_id = id
    return made


def _all_of(error: errors.HydroError) -> tuple[object, ...]:
    return type(error), error.message, dict(error.metadata), error.request_id


def subclasses(cls: type[errors.HydroError]) -> Iterator[type[errors.HydroError]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def test_every_error_is_in_the_table() -> None:
    for module in pkgutil.walk_packages(hydro_services.__path__, "hydro_services."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert {cls for cls in subclasses(errors.HydroError)} == set(errors.STATUS)


def test_reasons_are_unique() -> None:
    reasons = [reason for _, reason in errors.STATUS.values()]
    assert len(set(reasons)) == len(reasons)


def test_every_error_survives_the_wire() -> None:
    for cls in errors.STATUS:
        sent = cls("a message", model="iris")
        received = errors.from_status(errors.to_status(sent))
        assert type(received) is cls
        assert (received.message, received.metadata) == (sent.message, sent.metadata)


@given(ERRORS)
def test_errors_statuses_and_json_are_one(error: errors.HydroError) -> None:
    status = errors.to_status(error)
    read = status_pb2.Status.FromString(status.SerializeToString())
    assert _all_of(errors.from_status(read)) == _all_of(error)
    form = json.loads(json.dumps(errors.as_json(status)))
    assert _all_of(errors.from_json(form)) == _all_of(error)
    assert list(form) == ["code", "status", "reason", "message", "details", "request_id"]
    row = errors.row_json(status)["error"]
    for name in ("code", "status", "reason", "message"):
        assert row[name] == form[name], "no fact hides what a row's error is"
    assert set(row) == set(error.metadata) | {"code", "status", "reason", "message"}


@given(st.sampled_from([*errors.STATUS]), TEXTS, st.dictionaries(st.just("column"), TEXTS))
def test_texts_that_utf8_does_not_have_break_no_error(
    cls: type[errors.HydroError], message: str, facts: dict[str, str]
) -> None:
    status = errors.call_status(cls(message * 200, **facts), "id")
    assert len(status.message.encode()) <= errors.MAX_TEXT
    assert type(errors.from_status(status)) is cls


@given(st.integers(-1, 20), WRITTEN, st.binary(max_size=20))
def test_statuses_of_others_are_read_too(code: int, message: str, detail: bytes) -> None:
    status = status_pb2.Status(code=code, message=message)
    status.details.add(type_url="type.googleapis.com/of.Others", value=detail)
    foreign = error_details_pb2.ErrorInfo(reason="NOT_FOUND", domain="others.example")
    status.details.add().Pack(foreign)
    error = errors.from_status(status)
    assert error.message == message
    assert errors.as_json(status)["message"] == message
    if 0 < code < 17 and code != 5:
        assert not isinstance(error, errors.NotFound), "the reason is not of our domain"


@pytest.mark.parametrize("body", [{"code": "x"}, {"details": 1}, {"message": 1}])
def test_what_is_no_errors_json_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(errors.InvalidArgument, match="not an error's JSON"):
        errors.from_json(body)
