"""Expected failures, and the one table that says how each is told to a client.

HydroError                something that a user or a peer can mend; the message says how
  NotFound                a pipeline, model, version or file that is not there
  InvalidArgument         a request that can never be answered as it is
  Unauthenticated         who calls has not shown who it is
  PermissionDenied        who calls may not
  TooLarge                a message or body over the size limit
  RateLimited             more requests than a pipeline takes
  OutOfRange              an offset beyond the end of a file
  Aborted                 what the request was based on has changed: read again, try again
  FailedPrecondition      the system has to be changed first, such as a model that is refused
    ModelRefused          a model that cannot be served; wraps hydro_runtimes' ModelError
    EnvoyRefused          Envoy did not take the configuration
  NotInTime               it did not happen within the time limit
  Unavailable             a peer does not answer; trying again may help
    Unreachable           nothing listens at its address
  Unimplemented           a method that is not there
    Compressed            a message in an encoding that is not read

Anything else is a bug: the client is told INTERNAL and an id, the log has the traceback.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "hydro"


class HydroError(Exception):
    """Something that a user or a peer can mend.

    The message says what was got, what was wanted and the way out, lower case and without a full
    stop; `metadata` has the facts that a program would otherwise have to parse from it.
    """

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = metadata


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


class OutOfRange(HydroError):
    """An offset beyond the end of a file."""


class Aborted(HydroError):
    """What the request was based on has changed: read again, then try again."""


class FailedPrecondition(HydroError):
    """The system has to be changed before the request can be answered."""


class ModelRefused(FailedPrecondition):
    """A model that cannot be served."""


class EnvoyRefused(FailedPrecondition):
    """Envoy did not take the configuration; the message is Envoy's own."""


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
    OutOfRange: (grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_RANGE"),
    Aborted: (grpc.StatusCode.ABORTED, "ABORTED"),
    FailedPrecondition: (grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION"),
    ModelRefused: (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
    EnvoyRefused: (grpc.StatusCode.FAILED_PRECONDITION, "ENVOY_REFUSED"),
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


def internal() -> Internal:
    """What the client is told of a bug; the id is to be logged with the traceback."""
    id = uuid.uuid4().hex[:12]
    return Internal(f"internal error {id}; the log has the details under this id", id=id)


def to_status(error: HydroError) -> status_pb2.Status:
    """The error as google.rpc.Status with an ErrorInfo."""
    code, reason = STATUS[type(error)]
    return status(code, error.message, reason, error.metadata)


def status(
    code: grpc.StatusCode, message: str, reason: str, metadata: Mapping[str, str]
) -> status_pb2.Status:
    """A google.rpc.Status with an ErrorInfo of domain "hydro"."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)
    detail = any_pb2.Any()
    detail.Pack(info)
    return status_pb2.Status(code=code.value[0], message=message, details=[detail])


def from_status(status: status_pb2.Status) -> HydroError:
    """The inverse of `to_status`; a status of another origin becomes the class of its code."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            break
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    cls = _BY_REASON.get(info.reason) or _BY_CODE.get(code, Internal)
    return cls(status.message, **dict(info.metadata))


def from_rpc(error: grpc.RpcError) -> HydroError:
    """What a call raised, as one of our own classes."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return Internal(str(error))
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if details:
        return from_status(status_pb2.Status.FromString(details))
    code = error.code()
    return _BY_CODE.get(code, Internal)(error.details() or code.name.lower())


def code_name(code: int) -> str:
    """For example "INVALID_ARGUMENT" for 3."""
    return _CODES.get(code, grpc.StatusCode.UNKNOWN).name
