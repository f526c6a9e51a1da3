"""The classes of errors, and the table with the status and the reason of each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import grpc
import grpc.aio


class HydroError(Exception):
    """Something that a user or a peer can correct.

    The message says what was got, what was wanted and the way out, in lower case and without a full
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
    """The caller is not authenticated: it has no credentials, or wrong ones."""


class PermissionDenied(HydroError):
    """The caller is authenticated but not allowed to do this."""


class TooLarge(HydroError):
    """A message or body over the size limit."""


class RateLimited(HydroError):
    """More requests than a pipeline takes; Envoy says so, and how long to wait."""


class CircuitOpen(HydroError):
    """A stage has as many requests under way as its circuit breaker allows; Envoy says so."""


class OutOfRange(HydroError):
    """An offset beyond the end of a file."""


class Aborted(HydroError):
    """What the request was based on has changed: read again, then try again."""


class FailedPrecondition(HydroError):
    """The system has to be changed before the request can be answered."""


class ModelRefused(FailedPrecondition):
    """A model that cannot be served."""


class ModelSuspended(FailedPrecondition):
    """A model that is not evaluated for a time, because it ended its process again and again."""


class EnvoyRefused(FailedPrecondition):
    """Envoy did not take the configuration; the message is Envoy's own."""


class CannotConnect(FailedPrecondition):
    """What answers at an address is not trusted, or not what is expected; retrying is no help."""


class NewerVersion(FailedPrecondition):
    """What was stored is of a newer version of hydro-serving; retrying is no help."""


class NotInTime(HydroError):
    """It did not happen within the time limit."""


class Unavailable(HydroError):
    """A peer does not answer; retrying may help."""


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


def new_internal() -> Internal:
    """What a client gets for a bug; its id is to be logged with the traceback."""
    id = uuid.uuid4().hex[:12]
    return Internal(f"internal error {id}; the log has the details under this id", id=id)
