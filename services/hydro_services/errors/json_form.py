"""Errors as JSON, as HTTP answers and rows that failed have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import any_pb2, json_format
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from hydro_services.errors.classes import HydroError, InvalidArgument
from hydro_services.errors.status import code_name, error_info, from_status, request_id_of


def as_json(status: status_pb2.Status) -> dict[str, Any]:
    """The form of errors in JSON.

    {"code": 5, "status": "NOT_FOUND", "reason": "NOT_FOUND", "message": "no such pipeline: p",
    "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "NOT_FOUND",
    "domain": "hydro", "metadata": {"pipeline": "p"}}, ...], "request_id": "..."}
    """
    details = [_detail_json(detail) for detail in status.details]
    return {**_summary_json(status), "details": details, "request_id": request_id_of(status)}


def from_json(body: Mapping[str, Any]) -> HydroError:
    """The inverse of `as_json`.

    Raises:
        InvalidArgument: this is not an error's JSON.
    """
    known = {name: body[name] for name in ("code", "message", "details") if name in body}
    try:
        converted = from_status(json_format.ParseDict(known, status_pb2.Status()))
    except (json_format.ParseError, TypeError) as error:
        raise InvalidArgument(f"this is not an error's JSON: {error}") from None
    converted.request_id = converted.request_id or str(body.get("request_id", ""))
    return converted


def row_json(status: status_pb2.Status) -> dict[str, Any]:
    """The object that stands in the place of a row that failed, with the facts of the ErrorInfo."""
    metadata = error_info(status).metadata
    facts = {name: metadata[name] for name in sorted(metadata)}
    summary = _summary_json(status)
    return {"error": {**summary, **{k: v for k, v in facts.items() if k not in summary}}}


def _summary_json(status: status_pb2.Status) -> dict[str, Any]:
    name = code_name(status.code)
    reason = error_info(status).reason or name
    return {"code": status.code, "status": name, "reason": reason, "message": status.message}


def _detail_json(detail: any_pb2.Any) -> dict[str, Any]:
    """As protobuf writes it; a type that is not known here by its name alone."""
    try:
        return json_format.MessageToDict(detail, always_print_fields_with_no_presence=True)
    except (TypeError, DecodeError):
        return {"@type": detail.type_url}
