"""errors.lua without Envoy: it makes of answers what hydro_services.errors makes of errors."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import lupa.luajit21
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import example, given
from hypothesis import strategies as st

import hydro_envoy
from hydro_envoy.headers import ERROR_FACT
from hydro_envoy.resources import reply_mapping
from hydro_services import errors

SCRIPT = Path(hydro_envoy.__file__).parent / "resources" / "errors.lua"
ID = "01234567-89ab-4def-8123-456789abcdef"
ANSWER = """
local methods = {
  get = function(self, name) return rawget(self, name) end,
  replace = function(self, name, value) rawset(self, name, value) end,
  remove = function(self, name) rawset(self, name, nil) end,
}
-- The headers and the body that come out; a body of nil is the answer to HEAD.
function answer(headers, body, base64)
  setmetatable(headers, {__index = methods})
  local handle = {}
  function handle:headers() return headers end
  function handle:body()
    if body == nil then return nil end
    return {
      length = function() return #body end,
      getBytes = function(_, from, count) return body:sub(from + 1, from + count) end,
      setBytes = function(_, bytes) body = bytes; return #bytes end,
    }
  end
  function handle:base64Escape(bytes) return base64(bytes) end
  envoy_on_response(handle)
  local flat = {}
  for name, value in pairs(headers) do flat[name] = value end
  return flat, body
end
"""


@cache
def machine() -> Any:
    found = lupa.luajit21.LuaRuntime(encoding=None, unpack_returned_tuples=True)
    found.execute(SCRIPT.read_bytes())
    found.execute(ANSWER.encode())
    return found


def answered(
    headers: dict[str, str | bytes], body: bytes | None = b""
) -> tuple[dict[str, bytes], bytes | None]:
    given = {k.encode(): v if isinstance(v, bytes) else v.encode() for k, v in headers.items()}
    table = machine().table_from(given)
    found, text = machine().globals()[b"answer"](table, body, base64.b64encode)
    return {bytes(k).decode(): bytes(v) for k, v in found.items()}, text


def by_grpc(code: int, message: bytes, **facts: str | bytes) -> tuple[status_pb2.Status, str]:
    """The status that a gRPC client reads, and its message in `grpc-message`."""
    told = {f"{ERROR_FACT}{name}": value for name, value in facts.items()}
    headers, _ = answered(
        {
            ":status": "200",
            "grpc-status": str(code),
            "grpc-message": quote(message, safe=" "),
            "x-request-id": ID,
            **told,
        }
    )
    assert not [name for name in headers if name.startswith(ERROR_FACT)]
    details = base64.b64decode(headers["grpc-status-details-bin"])
    return status_pb2.Status.FromString(details), unquote(headers["grpc-message"].decode())


def by_http(status: int, body: bytes, **headers: str | bytes) -> Any:
    found, text = answered({":status": str(status), "x-request-id": ID, **headers}, body)
    assert text is not None
    assert found["content-type"] == b"application/json"
    assert int(found["content-length"]) == len(text)
    assert not [name for name in found if name.startswith(ERROR_FACT) or "grpc" in name]
    return json.loads(text), int(found[":status"])


def is_whole(form: dict[str, Any]) -> bool:
    """The one form, which says of itself everywhere the same."""
    assert list(form) == ["code", "status", "reason", "message", "details", "request_id"]
    info = form["details"][0]
    assert (info["domain"], info["reason"]) == ("hydro", form["reason"])
    assert form["request_id"] == form["details"][-1]["requestId"]
    return errors.code_name(form["code"]) == str(form["status"])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAMES = st.from_regex(r"\A[a-z_]{1,12}\Z").filter(
    lambda name: name not in ("calls", "limits", "reason", "stages", "text", "wait_s")
)


@given(st.integers(1, 16), TEXTS, st.dictionaries(NAMES, TEXTS.filter(bool), max_size=4))
@example(5, 'quotes " and \\ and \x00 and \x7f', {"pipeline": "été 猫"})
def test_grpc_and_http_tell_the_same_as_python(
    code: int, message: str, facts: dict[str, str]
) -> None:
    status, text = by_grpc(code, message.encode(), reason="NOT_FOUND", **facts)
    wanted = errors.NotFound(message, **facts)
    wanted.request_id = ID
    expected = errors.to_status(wanted)
    expected.code = code
    assert errors.as_json(status) == errors.as_json(expected)
    assert text == message
    told = {f"{ERROR_FACT}{name}": value for name, value in facts.items()}
    sent = message.encode() if not message.startswith(": ") else b": " + message.encode()
    found, _ = by_http(
        404, sent, **{"grpc-status": str(code), f"{ERROR_FACT}reason": "NOT_FOUND", **told}
    )
    assert found == errors.as_json(expected)
    assert is_whole(found)


@given(st.integers(1, 16), TEXTS, st.dictionaries(NAMES, TEXTS, max_size=3))
def test_what_the_transcoder_writes_gets_the_missing_members(
    code: int, message: str, facts: dict[str, str]
) -> None:
    status = errors.to_status(errors.FailedPrecondition(message, **facts), ID)
    status.code = code
    whole = errors.as_json(status)
    written = {name: whole[name] for name in ("code", "message", "details")}
    for ensure_ascii in (True, False):
        text = json.dumps(written, separators=(",", ":"), ensure_ascii=ensure_ascii)
        assert by_http(400, text.encode()) == (whole, 400)
    bare = json.dumps({"code": code, "message": message, "details": []}, separators=(",", ":"))
    found, _ = by_http(400, bare.encode())
    assert (found["message"], found["code"]) == (message, code)
    assert is_whole(found)


@given(st.binary(max_size=40), st.binary(max_size=20))
def test_bytes_that_are_no_text_break_nothing(message: bytes, fact: bytes) -> None:
    status, _ = by_grpc(5, message, pipeline=fact)
    assert errors.from_status(status).request_id == ID
    form, _ = by_http(404, message, **{f"{ERROR_FACT}pipeline": fact})
    assert is_whole(form)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (400, 3, "INVALID_ARGUMENT"),
        (401, 16, "UNAUTHENTICATED"),
        (403, 7, "PERMISSION_DENIED"),
        (404, 5, "NOT_FOUND"),
        (408, 4, "NOT_IN_TIME"),
        (413, 8, "TOO_LARGE"),
        (429, 8, "RESOURCE_EXHAUSTED"),
        (431, 8, "TOO_LARGE"),
        (418, 2, "UNKNOWN"),
        (500, 13, "INTERNAL"),
        (503, 14, "UNAVAILABLE"),
        (504, 4, "NOT_IN_TIME"),
    ],
)
def test_a_bare_status_of_http_has_a_code_and_a_reason(status: int, code: int, reason: str) -> None:
    form, told = by_http(status, b"why: details")
    assert (form["code"], form["reason"], told) == (code, reason, status)
    assert is_whole(form)


def test_a_size_limit_of_grpc_is_413() -> None:
    text = b'{"code":8,"message":"SERVER: Received message larger than max (9 vs. 4)","details":[]}'
    form, status = by_http(429, text)
    assert (form["reason"], status) == ("TOO_LARGE", 413)


STAGES = {"stages": '["s/a","s/b:2","s/c"]', "limits": '["100000","7","3"]'}
TEXT = b"{stage} of pipeline 'p' has {limit} under way"


@pytest.mark.parametrize(
    ("calls", "stage", "limit"),
    [
        pytest.param(None, "s/c", "3", id="the last one"),
        pytest.param("rh:88:14,bs:0,br:0,os:0,ds:a;" + ";" * 14, "s/a", "100000", id="first"),
        pytest.param(
            "rh:859:0,rb:1:1250:0,bs:846,br:366,os:0,ds:a;rh:187:14,os:0,ds:b;" + ";" * 13,
            "s/b:2",
            "7",
            id="second, by the header's call",
        ),
        pytest.param(
            "rh:598:0,bs:576,os:0;bs:0,br:0,os:14,ds:b;" + ";" * 13, "s/b:2", "7", id="os"
        ),
        pytest.param("rh:5:0,rb:2:9:14,os:0;rh:1:0,os:0;" + ";" * 13, "s/a", "100000", id="body"),
        pytest.param("rh:5:0,os:0;rh:1:0,os:0;" + ";" * 13, "s/b:2", "7", id="nobody failed"),
    ],
)
def test_the_stage_that_failed_is_named(calls: str | None, stage: str, limit: str) -> None:
    facts = STAGES | {"pipeline": "p", "reason": "CIRCUIT_BREAKER_OPEN"}
    facts |= {"calls": calls} if calls else {}
    status, text = by_grpc(8, TEXT, **facts)
    error = errors.from_status(status)
    assert isinstance(error, errors.CircuitOpen)
    assert error.metadata == {"pipeline": "p", "stage": stage, "limit": limit}
    assert error.message == text == f"stage {stage} of pipeline 'p' has {limit} under way"
    transcoded = f'{{"code":8,"message":"{TEXT.decode()}","details":[]}}'
    told = {f"{ERROR_FACT}{name}": value for name, value in facts.items()}
    form, http_status = by_http(
        429, transcoded.replace(": ", ":").replace(", ", ",").encode(), **told
    )
    assert (form["message"].replace(" ", ""), http_status) == (text.replace(" ", ""), 429)
    assert form["details"][0]["metadata"] == error.metadata


def test_a_wait_is_told_as_retry_info() -> None:
    status, _ = by_grpc(8, b"wait", reason="RATE_LIMITED", wait_s="0.250000000")
    wait = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(wait) for detail in status.details)
    assert wait.retry_delay.ToMilliseconds() == 250
    form, _ = by_http(429, b"wait", **{f"{ERROR_FACT}wait_s": "3600.000000000"})
    assert form["details"][1]["retryDelay"] == "3600s"


def test_what_is_well_or_has_its_details_is_left_alone() -> None:
    well: dict[str, str | bytes] = {":status": "200", "content-type": "application/json"}
    assert answered(well, b'{"code":5,"message":"","details":[]}')[1] is not None
    for more in ({}, {"grpc-status": "0"}, {"grpc-status": "5", "grpc-status-details-bin": "eA"}):
        told = well | more
        assert answered(told, b"x") == ({k: str(v).encode() for k, v in told.items()}, b"x")


def test_the_answer_to_head_has_no_body() -> None:
    headers, body = answered({":status": "404", "content-length": "9", "x-request-id": ID}, None)
    assert body is None
    assert "content-length" not in headers


def test_reasons_of_envoy_are_those_of_the_table() -> None:
    known = {reason: code.value[0] for code, reason in errors.STATUS.values()}
    assert {
        reason: code for reason, (code, _) in reply_mapping.REASONS.items()
    }.items() <= known.items()
