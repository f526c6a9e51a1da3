"""Errors as clients get them over gRPC and over HTTP, and a check that they have the one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from google.rpc import status_pb2
from meshes import HOST
from patience import PATIENCE_S

from hydro_services import errors

OURS = "sent-by-us.7"


FIELDS = ["code", "status", "reason", "message", "details", "request_id"]
PREDICT = "/hydro.serving.v1.PredictionService/Predict"


@dataclass(frozen=True)
class Seen:
    """An error as a client got it."""

    form: Mapping[str, Any]
    header: str
    """x-request-id."""
    http_status: int | None = None
    headers: Mapping[str, str] | None = None


def check(seen: Seen) -> errors.HydroError:
    """It has the one form, which says everywhere the same; the error that it tells of."""
    form = seen.form
    assert list(form) == FIELDS
    error = errors.from_json(form)
    code, reason = errors.STATUS[type(error)]
    assert (form["code"], form["status"]) == (code.value[0], code.name)
    assert form["message"], form
    info = form["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info["domain"], info["reason"]) == ("hydro", form["reason"])
    assert form["reason"] == reason
    assert form["request_id"] == seen.header != ""
    ids = [detail["requestId"] for detail in form["details"] if "requestId" in detail]
    assert ids in ([], [seen.header])
    assert "Traceback" not in str(form)
    return error


async def over_http(
    port: int, method: str, path: str, body: bytes = b"[]", *, http2: bool, **headers: str
) -> Seen:
    """Of what has to fail, over HTTP/1.1 or over HTTP/2 in clear text."""
    sent = {"content-type": "application/json", "x-request-id": OURS, **headers}
    async with httpx.AsyncClient(http1=not http2, http2=http2, timeout=PATIENCE_S) as client:
        answer = await client.request(
            method, f"http://{HOST}:{port}{path}", content=body, headers=sent
        )
    assert answer.status_code >= 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert not [name for name in answer.headers if "x-hydro-error" in name or "grpc" in name]
    header = answer.headers["x-request-id"]
    return Seen(answer.json(), header, answer.status_code, dict(answer.headers))


async def over_grpc(address: str, path: str, message: bytes = b"", **headers: str) -> Seen:
    metadata = (("x-request-id", OURS), *headers.items())
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(message, metadata=metadata, timeout=PATIENCE_S)
    error = raised.value
    told = {**dict(error.initial_metadata() or ()), **dict(error.trailing_metadata() or ())}
    assert not [name for name in told if "x-hydro-error" in name]
    status = status_pb2.Status.FromString(told["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return Seen(errors.as_json(status), str(told["x-request-id"]), None, told)
