"""One mapping of an answer that Envoy makes itself: its text, reason and facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValueOption,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    ResponseMapper,
)
from envoy_data_plane.google.protobuf import Struct

from hydro_envoy import headers
from hydro_envoy.headers import ERROR_FACT, Fact
from hydro_envoy.resources.request_id import ON_ANSWERS
from hydro_envoy.resources.routes import set_header

REASONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "CIRCUIT_BREAKER_OPEN": (8, 429),
        "INTERNAL": (13, 500),
        "INVALID_ARGUMENT": (3, 400),
        "NOT_FOUND": (5, 404),
        "NOT_IN_TIME": (4, 504),
        "PERMISSION_DENIED": (7, 403),
        "RATE_LIMITED": (8, 429),
        "TOO_LARGE": (8, 413),
        "UNAVAILABLE": (14, 503),
        "UNIMPLEMENTED": (12, 501),
    }
)
"""Why Envoy itself refuses: the codes of gRPC and of HTTP."""


STATUSES: Mapping[int, str] = MappingProxyType({8: "RESOURCE_EXHAUSTED", 14: "UNAVAILABLE"})
"""gRPC's names of codes."""
_TYPES = "type.googleapis.com/google.rpc."


PIPELINE_NAME = f"%REQ({headers.PIPELINE}?{headers.SCOPE}):500%"
"""The pipeline's; behind a policy route the scope is a chain's."""
_NO_FACTS: Mapping[str, str] = MappingProxyType({})
PIPELINE_FACT = {"pipeline": PIPELINE_NAME}


def map_reply(
    when: AccessLogFilter,
    reason: str,
    text: str,
    facts: Mapping[str, str] = _NO_FACTS,
    more: Iterable[HeaderValueOption] = (),
    status: int | None = None,
) -> ResponseMapper:
    code, usual_status = REASONS[reason]
    texts = {Fact.REASON: reason, **facts}
    about = [set_header(f"{ERROR_FACT}{name}", text) for name, text in texts.items()]
    return ResponseMapper(
        filter=when,
        status_code=status or usual_status,
        body_format_override=_body_format(text),
        headers_to_add=[set_header("grpc-status", str(code)), ON_ANSWERS, *about, *more],
    )


def map_final_reply(when: AccessLogFilter, reason: str, text: str) -> ResponseMapper:
    """A reply that errors.lua does not get to see; it has the form of errors.lua already."""
    code, status = REASONS[reason]
    request_id = f"%REQ({headers.REQUEST_ID})%"
    info = {
        "@type": f"{_TYPES}ErrorInfo",
        "reason": reason,
        "domain": "hydro",
        "metadata": {"pipeline": PIPELINE_NAME},
    }
    request = {"@type": f"{_TYPES}RequestInfo", "requestId": request_id, "servingData": ""}
    body = {
        "code": code,
        "status": STATUSES[code],
        "reason": reason,
        "message": text,
        "details": [info, request],
        "request_id": request_id,
    }
    return ResponseMapper(
        filter=when,
        status_code=status,
        body_format_override=SubstitutionFormatString(json_format=Struct.from_dict(body)),
        headers_to_add=[ON_ANSWERS],
    )


def keep_status(when: AccessLogFilter, text: str) -> ResponseMapper:
    """A reply that has its status already, and no other reason than that."""
    return ResponseMapper(
        filter=when, body_format_override=_body_format(text), headers_to_add=[ON_ANSWERS]
    )


def _body_format(text: str) -> SubstitutionFormatString:
    return SubstitutionFormatString(text_format_source=DataSource(inline_string=text))
