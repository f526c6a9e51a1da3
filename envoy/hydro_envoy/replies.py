"""What Envoy itself answers when it cannot or will not pass a request on. Pure.

gRPC clients get a status with a text, HTTP clients the JSON `{"code": <gRPC code>, "message":
"<text>"}`, as the transcoder writes what comes from behind. Without this Envoy maps HTTP codes to
gRPC's in ways that mislead: 413 to UNKNOWN, 404 to UNIMPLEMENTED, 429 to UNAVAILABLE.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    ExtensionFilter,
    HeaderFilter,
    ResponseFlagFilter,
)
from envoy_data_plane.envoy.config.core.v3 import DataSource, SubstitutionFormatString
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any, ListValue, Struct, Value

from hydro_envoy.routes import header
from hydro_envoy.web_pages import FOREIGN_HOST, FOREIGN_ORIGIN

INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED = 3, 4, 5, 8
PERMISSION_DENIED, INTERNAL, UNAVAILABLE = 7, 13, 14
GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 8, 429: 8, 431: 8, 503: 14, 504: 4}
"""The code in the JSON of Envoy's own replies, by HTTP status; others are INTERNAL."""

_FOR_OTHERS = "to be called from elsewhere the mesh needs an admin key, see `hydro keys admin`"
_FOREIGN_HOST = (
    "this port is for programs of this machine: the host is '%REQ(:AUTHORITY)%', "
    f"want localhost, 127.0.0.1 or [::1]; {_FOR_OTHERS}"
)
_FOREIGN_ORIGIN = (
    f"this port is for programs of this machine, not for pages of '%REQ(ORIGIN)%'; {_FOR_OTHERS}"
)
_PIPELINE = "pipeline %REQ(x-hydro-pipeline?x-pipeline)%"
"""Its name; behind a front `x-pipeline` has a chain's."""
_UNFIT = "the body is not the JSON object that this method takes"
_NOT_AGAIN = "a stage failed after more was sent than is kept for another try; send it again"


def pipes_replies() -> LocalReplyConfig:
    """For the internal listener, which only ever speaks gRPC (the gateway makes JSON of it)."""
    return LocalReplyConfig(
        mappers=[
            _grpc(
                _all(_flags("NR"), _header("x-pipeline", present=False)),
                400,
                "the first message names no pipeline: set its field `pipeline`",
                INVALID_ARGUMENT,
            ),
            _grpc(_flags("NR"), 404, "no such pipeline: %REQ(x-pipeline)%", NOT_FOUND),
            _grpc(
                cel("response.code_details == 'local_rate_limited'"),
                429,
                f"{_PIPELINE} gets more requests than its limit: wait %RESP(retry-after)% s",
                RESOURCE_EXHAUSTED,
            ),
            _grpc(
                cel("response.code_details.startsWith('rbac_access_denied')"),
                500,
                f"it could not be told who calls {_PIPELINE}",
                INTERNAL,
            ),
            _grpc(
                cel("response.code == 413"),
                413,
                f"the message is too large for {_PIPELINE}",
                RESOURCE_EXHAUSTED,
            ),
            _grpc(
                cel("response.code == 504 || response.code_details == 'max_duration_timeout'"),
                504,
                f"{_PIPELINE} did not answer within its time limit",
                DEADLINE_EXCEEDED,
            ),
            _grpc(cel("response.code == 507"), 503, _NOT_AGAIN),
            _grpc(
                cel("response.code_details.startsWith('ext_proc_error')"),
                503,
                f"a stage of {_PIPELINE} is unavailable",
            ),
            _grpc(
                _flags("UH", "UF", "UC", "UR", "UO"),
                503,
                f"the last stage of {_PIPELINE} is unavailable: %LOCAL_REPLY_BODY%",
            ),
        ]
    )


def edge_replies() -> LocalReplyConfig:
    """For a listener that serves gRPC and HTTP/JSON."""
    too_large = cel("response.code == 413")
    odd_name = cel("response.code_details.contains('filter_removed_required_request_headers')")
    odd_text = "no such pipeline: its name has characters that no name has"
    unfit = cel("response.code_details.startsWith('grpc_json_transcode_failure')")
    foreign_host, foreign_origin = (
        cel(f"response.code_details.contains('{name}')") for name in (FOREIGN_HOST, FOREIGN_ORIGIN)
    )
    # What was sent is too much to keep for a retry, which the failure of a stage made necessary.
    not_again = cel("response.code == 507")
    return LocalReplyConfig(
        mappers=[
            _grpc(_all(_is_grpc(), foreign_host), 403, _FOREIGN_HOST, PERMISSION_DENIED),
            _json(foreign_host, 403, PERMISSION_DENIED, _FOREIGN_HOST),
            _grpc(_all(_is_grpc(), foreign_origin), 403, _FOREIGN_ORIGIN, PERMISSION_DENIED),
            _json(foreign_origin, 403, PERMISSION_DENIED, _FOREIGN_ORIGIN),
            _grpc(_all(_is_grpc(), _flags("NR")), 404, "no such method: %PATH(NQ:PATH)%"),
            _json(
                _flags("NR"),
                404,
                NOT_FOUND,
                "no such path for %REQ(:METHOD)%: %PATH(NQ:ORIG_OR_PATH)%",
            ),
            _grpc(_all(_is_grpc(), too_large), 413, "the message is too large", RESOURCE_EXHAUSTED),
            _json(too_large, 413, RESOURCE_EXHAUSTED, "the body is too large"),
            _grpc(_all(_is_grpc(), odd_name), 404, odd_text, NOT_FOUND),
            _json(odd_name, 404, NOT_FOUND, odd_text),
            _grpc(_all(_is_grpc(), not_again), 503, _NOT_AGAIN),
            _json(not_again, 503, UNAVAILABLE, _NOT_AGAIN),
            ResponseMapper(filter=_is_grpc(), body_format_override=_text("%LOCAL_REPLY_BODY%")),
            _json(unfit, 400, INVALID_ARGUMENT, f"{_UNFIT}: %LOCAL_REPLY_BODY%"),
            _json(
                cel("response.code_details.contains('path_normalization_failed')"),
                400,
                INVALID_ARGUMENT,
                "the path is malformed, or has an escaped slash",
            ),
            *(
                _json(cel(f"response.code == {status}"), status, code, "%LOCAL_REPLY_BODY%")
                for status, code in GRPC_CODES.items()
            ),
        ],
        body_format=_body(INTERNAL, "%LOCAL_REPLY_BODY%"),
    )


def _grpc(
    when: AccessLogFilter, http_status: int, text: str, grpc_status: int | None = None
) -> ResponseMapper:
    status = [] if grpc_status is None else [header("grpc-status", str(grpc_status))]
    return ResponseMapper(
        filter=when,
        status_code=http_status,
        body_format_override=_text(text),
        headers_to_add=status,
    )


def _json(when: AccessLogFilter, http_status: int, grpc_status: int, text: str) -> ResponseMapper:
    return ResponseMapper(
        filter=when, status_code=http_status, body_format_override=_body(grpc_status, text)
    )


def _text(text: str) -> SubstitutionFormatString:
    return SubstitutionFormatString(text_format_source=DataSource(inline_string=text))


def _body(code: int, text: str) -> SubstitutionFormatString:
    fields = {
        "code": Value(number_value=float(code)),
        "details": Value(list_value=ListValue()),
        "message": Value(string_value=text),
    }
    return SubstitutionFormatString(json_format=Struct(fields=fields))


def _is_grpc() -> AccessLogFilter:
    # The transcoder makes gRPC of HTTP requests, and notes the original method.
    transcoded = _header("x-envoy-original-method", present=False)
    return _all(_header("content-type", prefix="application/grpc"), transcoded)


def _header(name: str, *, prefix: str = "", present: bool = True) -> AccessLogFilter:
    if prefix:
        matcher = HeaderMatcher(name=name, string_match=StringMatcher(prefix=prefix))
    else:
        matcher = HeaderMatcher(name=name, present_match=present)
    return AccessLogFilter(header_filter=HeaderFilter(header=matcher))


def _flags(*flags: str) -> AccessLogFilter:
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(flags)))


def _all(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))


def cel(expression: str) -> AccessLogFilter:
    """What holds for a request that has ended, in Envoy's attributes."""
    config = Any.pack(ExpressionFilter(expression=expression))
    return AccessLogFilter(extension_filter=ExtensionFilter(name="cel", typed_config=config))
