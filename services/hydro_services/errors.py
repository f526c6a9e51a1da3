"""Expected failures, and the one table that says how each is told to a client.

HydroError                something that a user or a peer can mend; the message says how
  NotFound                a pipeline, model, version or file that is not there
  InvalidArgument         a request that can never be answered as it is
  Unauthenticated         who calls has not shown who it is
  PermissionDenied        who calls may not
  TooLarge                a message or body over the size limit
  RateLimited             more requests than a pipeline takes
  CircuitOpen             a stage has as many requests under way as it may
  OutOfRange              an offset beyond the end of a file
  Aborted                 what the request was based on has changed: read again, try again
  FailedPrecondition      the system has to be changed first, such as a model that is refused
    ModelRefused          a model that cannot be served; wraps hydro_runtimes' ModelError
    ModelSuspended        a model that is out for a time, since it ends its processes
    EnvoyRefused          Envoy did not take the configuration
    CannotConnect         what answers at an address is not whom to expect there, or not trusted
    NewerVersion          what was stored is of a newer version of hydro-serving
  NotInTime               it did not happen within the time limit
  Unavailable             a peer does not answer; trying again may help
    Unreachable           nothing listens at its address
  Unimplemented           a method that is not there
    Compressed            a message in an encoding that is not read

Anything else is a bug: the client is told INTERNAL and an id, the log has the traceback.

All errors have one form, on every port. gRPC has it as google.rpc.Status, with an ErrorInfo of
domain "hydro" and a RequestInfo among the details; HTTP as JSON, see `as_json`. A row that failed
has the first four members of that, and its facts beside them, see `row_json`. What Envoy answers
itself gets the same form from hydro_envoy's errors.lua.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2, json_format
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "hydro"
REQUEST_ID = "x-request-id"
"""As hydro_envoy.headers has it, which commands do not import: they start quickly."""
MAX_TEXT = 2_048
"""Bytes of the message of an error that ends a call."""


class HydroError(Exception):
    """Something that a user or a peer can mend.

    The message says what was got, what was wanted and the way out, lower case and without a full
    stop; `metadata` has the facts that a program would otherwise have to parse from it.
    """

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = metadata
        self.request_id = ""
        """Of the call that failed, where there was one: logs have it under this id."""


class NotFound(HydroError):
    """A pipeline, model, version or file that is not there."""


class InvalidArgument(HydroError):
    """A request that can never be answered as it is."""


class Unauthenticated(HydroError):
    """Who calls has not shown who it is, or not rightly."""


class PermissionDenied(HydroError):
    """It is known who calls, who may not."""


class TooLarge(HydroError):
    """A message or body over the size limit."""


class RateLimited(HydroError):
    """More requests than a pipeline takes; Envoy says so, and how long to wait."""


class CircuitOpen(HydroError):
    """A stage has as many requests under way as its circuit breaker lets; Envoy says so."""


class OutOfRange(HydroError):
    """An offset beyond the end of a file."""


class Aborted(HydroError):
    """What the request was based on has changed: read again, then try again."""


class FailedPrecondition(HydroError):
    """The system has to be changed before the request can be answered."""


class ModelRefused(FailedPrecondition):
    """A model that cannot be served."""


class ModelSuspended(FailedPrecondition):
    """A model that is out for a time, since it has ended its process again and again."""


class EnvoyRefused(FailedPrecondition):
    """Envoy did not take the configuration; the message is Envoy's own."""


class CannotConnect(FailedPrecondition):
    """What answers at an address is not whom to expect there, or not trusted; nothing to retry."""


class NewerVersion(FailedPrecondition):
    """What was stored is of a newer version of hydro-serving: to try again does not help."""


class NotInTime(HydroError):
    """It did not happen within the time limit."""


class Unavailable(HydroError):
    """A peer does not answer; trying again may help."""


class Unreachable(Unavailable):
    """Nothing listens at a peer's address; the message names both."""


class Unimplemented(HydroError):
    """A method that is not there."""


class Compressed(Unimplemented):
    """A message in an encoding that is not read; the answer's `grpc-accept-encoding` has others."""


class Internal(HydroError):
    """A bug of ours, or an exception of a user's model; the log has the traceback."""


STATUS: dict[type[HydroError], tuple[grpc.StatusCode, str]] = {
    NotFound: (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    InvalidArgument: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    Unauthenticated: (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    PermissionDenied: (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
    TooLarge: (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE"),
    RateLimited: (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
    CircuitOpen: (grpc.StatusCode.RESOURCE_EXHAUSTED, "CIRCUIT_BREAKER_OPEN"),
    OutOfRange: (grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_RANGE"),
    Aborted: (grpc.StatusCode.ABORTED, "ABORTED"),
    FailedPrecondition: (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION"),
    ModelRefused: (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
    ModelSuspended: (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_SUSPENDED"),
    EnvoyRefused: (grpc.StatusCode.FAILED_PRECONDITION, "ENVOY_REFUSED"),
    CannotConnect: (grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CONNECT"),
    NewerVersion: (grpc.StatusCode.FAILED_PRECONDITION, "NEWER_VERSION"),
    NotInTime: (grpc.StatusCode.DEADLINE_EXCEEDED, "NOT_IN_TIME"),
    Unavailable: (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    Unreachable: (grpc.StatusCode.UNAVAILABLE, "UNREACHABLE"),
    Unimplemented: (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED"),
    Compressed: (grpc.StatusCode.UNIMPLEMENTED, "COMPRESSED"),
    Internal: (grpc.StatusCode.INTERNAL, "INTERNAL"),
}
"""Class -> status code and the reason in google.rpc.ErrorInfo."""

_BY_REASON = {reason: cls for cls, (_, reason) in STATUS.items()}
_BY_CODE = {code: cls for cls, (code, _) in reversed(STATUS.items())}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def new_internal() -> Internal:
    """What the client is told of a bug; the id is to be logged with the traceback."""
    id = uuid.uuid4().hex[:12]
    return Internal(f"internal error {id}; the log has the details under this id", id=id)


def to_status(error: HydroError, request_id: str = "") -> status_pb2.Status:
    """The error as google.rpc.Status; `request_id`: of the call that it ends, if it ends one."""
    code, reason = STATUS[type(error)]
    return make_status(code, error.message, reason, error.metadata, request_id or error.request_id)


def call_status(error: HydroError, request_id: str) -> status_pb2.Status:
    """As `to_status`, for the trailers of a call: the message is cut where they could not hold it.

    It is twice in them, and clients take 8 KiB of trailers.
    """
    found = to_status(error, request_id)
    found.message = found.message.encode()[:MAX_TEXT].decode(errors="ignore")
    return found


def make_status(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    metadata: Mapping[str, str],
    request_id: str = "",
) -> status_pb2.Status:
    """A google.rpc.Status with an ErrorInfo of domain "hydro", and a RequestInfo."""
    found = status_pb2.Status(code=code.value[0], message=_valid_text(message))
    facts = {_valid_text(name): _valid_text(value) for name, value in metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=facts)
    found.details.append(_pack(info))
    if request_id:
        found.details.append(_pack(error_details_pb2.RequestInfo(request_id=request_id)))
    return found


def from_status(status: status_pb2.Status) -> HydroError:
    """The inverse of `to_status`; a status of another origin becomes the class of its code."""
    info = _error_info(status)
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    cls = (_BY_REASON.get(info.reason) if info.domain == DOMAIN else None) or _BY_CODE.get(code)
    error = (cls or Internal)(status.message, **dict(info.metadata))
    error.request_id = _request_id(status)
    return error


def from_rpc(error: grpc.RpcError | HydroError) -> HydroError:
    """What a call raised, as one of our own classes."""
    if isinstance(error, HydroError):
        return error
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return Internal(str(error))
    told = {**dict(error.initial_metadata() or ()), **dict(error.trailing_metadata() or ())}
    code = error.code() or grpc.StatusCode.UNKNOWN
    found = _BY_CODE.get(code, Internal)(error.details() or code.name.lower())
    if details := told.get("grpc-status-details-bin"):
        with contextlib.suppress(DecodeError):  # the code and the message tell enough
            found = from_status(status_pb2.Status.FromString(details))
    found.request_id = found.request_id or str(told.get(REQUEST_ID, ""))
    return found


def as_json(status: status_pb2.Status) -> dict[str, Any]:
    """The form of errors in JSON.

    {"code": 5, "status": "NOT_FOUND", "reason": "NOT_FOUND", "message": "no such pipeline: p",
    "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "NOT_FOUND",
    "domain": "hydro", "metadata": {"pipeline": "p"}}, ...], "request_id": "..."}
    """
    details = [_detail_json(detail) for detail in status.details]
    return {**_summary(status), "details": details, "request_id": _request_id(status)}


def from_json(body: Mapping[str, Any]) -> HydroError:
    """The inverse of `as_json`.

    Raises:
        InvalidArgument: this is not an error's JSON.
    """
    known = {name: body[name] for name in ("code", "message", "details") if name in body}
    try:
        found = from_status(json_format.ParseDict(known, status_pb2.Status()))
    except (json_format.ParseError, TypeError) as error:
        raise InvalidArgument(f"this is not an error's JSON: {error}") from None
    found.request_id = found.request_id or str(body.get("request_id", ""))
    return found


def row_json(status: status_pb2.Status) -> dict[str, Any]:
    """The object that stands in the place of a row that failed, with the facts of the ErrorInfo."""
    metadata = _error_info(status).metadata
    facts = {name: metadata[name] for name in sorted(metadata)}
    summary = _summary(status)
    return {"error": {**summary, **{k: v for k, v in facts.items() if k not in summary}}}


def code_name(code: int) -> str:
    """For example "INVALID_ARGUMENT" for 3."""
    return _CODES.get(code, grpc.StatusCode.UNKNOWN).name


def _summary(status: status_pb2.Status) -> dict[str, Any]:
    name = code_name(status.code)
    reason = _error_info(status).reason or name
    return {"code": status.code, "status": name, "reason": reason, "message": status.message}


def _error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    """Ours, or else the last of another domain."""
    found = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Is(found.DESCRIPTOR):
            detail.Unpack(found)
            if found.domain == DOMAIN:
                break
    return found


def _request_id(status: status_pb2.Status) -> str:
    found = error_details_pb2.RequestInfo()
    for detail in status.details:
        if detail.Unpack(found):
            break
    return str(found.request_id)


def _valid_text(text: str) -> str:
    """The text with `?` for what UTF-8 does not have, such as half of a surrogate pair."""
    return text.encode(errors="replace").decode()


def _pack(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _detail_json(detail: any_pb2.Any) -> dict[str, Any]:
    """As protobuf writes it; a type that is not known here by its name alone."""
    try:
        return json_format.MessageToDict(detail, always_print_fields_with_no_presence=True)
    except (TypeError, DecodeError):
        return {"@type": detail.type_url}
