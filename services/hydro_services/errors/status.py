"""Errors as google.rpc.Status, as gRPC sends them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from hydro_services.errors.classes import STATUS, HydroError, Internal

DOMAIN = "hydro"
REQUEST_ID = "x-request-id"
"""As hydro_envoy.headers has it, which commands do not import: they start quickly."""
MAX_TEXT = 2_048
"""Bytes of the message of an error that ends a call."""

_BY_REASON = {reason: cls for cls, (_, reason) in STATUS.items()}
_BY_CODE = {code: cls for cls, (code, _) in reversed(STATUS.items())}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def to_status(error: HydroError, request_id: str = "") -> status_pb2.Status:
    """The error as google.rpc.Status; `request_id`: of the call that it ends, if it ends one."""
    code, reason = STATUS[type(error)]
    return make_status(code, error.message, reason, error.metadata, request_id or error.request_id)


def call_status(error: HydroError, request_id: str) -> status_pb2.Status:
    """As `to_status`, for the trailers of a call: a message that is too long for them is cut."""
    # Clients take 8 KiB of trailers; the message is in them twice, as grpc-message and in details.
    status = to_status(error, request_id)
    status.message = status.message.encode()[:MAX_TEXT].decode(errors="ignore")
    return status


def make_status(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    metadata: Mapping[str, str],
    request_id: str = "",
) -> status_pb2.Status:
    """A google.rpc.Status with an ErrorInfo of domain "hydro", and a RequestInfo."""
    status = status_pb2.Status(code=code.value[0], message=_valid_text(message))
    facts = {_valid_text(name): _valid_text(value) for name, value in metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=facts)
    status.details.append(_pack(info))
    if request_id:
        status.details.append(_pack(error_details_pb2.RequestInfo(request_id=request_id)))
    return status


def from_status(status: status_pb2.Status) -> HydroError:
    """The inverse of `to_status`; a status of another origin becomes the class of its code."""
    # A reason that is not known is of a newer version: then the code alone tells the class.
    info = error_info(status)
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    cls = (_BY_REASON.get(info.reason) if info.domain == DOMAIN else None) or _BY_CODE.get(code)
    error = (cls or Internal)(status.message, **dict(info.metadata))
    error.request_id = request_id_of(status)
    return error


def from_rpc(error: grpc.RpcError | HydroError) -> HydroError:
    """What a call raised, as a class of `errors`."""
    if isinstance(error, HydroError):
        return error
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return Internal(str(error))
    # An answer without messages has one block of headers, which grpc gives as the initial one.
    metadata = {**dict(error.initial_metadata() or ()), **dict(error.trailing_metadata() or ())}
    code = error.code() or grpc.StatusCode.UNKNOWN
    converted = _BY_CODE.get(code, Internal)(error.details() or code.name.lower())
    if details := metadata.get("grpc-status-details-bin"):
        with contextlib.suppress(DecodeError):  # the code and the message tell enough
            converted = from_status(status_pb2.Status.FromString(details))
    converted.request_id = converted.request_id or str(metadata.get(REQUEST_ID, ""))
    return converted


def code_name(code: int) -> str:
    """For example "INVALID_ARGUMENT" for 3."""
    return _CODES.get(code, grpc.StatusCode.UNKNOWN).name


def error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    """Our own ErrorInfo, or the last one of another domain; an empty one where there is none."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
            if info.domain == DOMAIN:
                break
    return info


def request_id_of(status: status_pb2.Status) -> str:
    """The id in its RequestInfo; empty where there is none."""
    info = error_details_pb2.RequestInfo()
    for detail in status.details:
        if detail.Unpack(info):
            break
    return str(info.request_id)


def _valid_text(text: str) -> str:
    """The text with `?` for what UTF-8 does not have, such as half of a surrogate pair."""
    return text.encode(errors="replace").decode()


def _pack(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
