"""What Envoy writes down when a request has ended. Pure; builds with envoy-data-plane.

Two connection managers see a request: the gateway's, once; and the one of `pipes`, once for each
run of a chain, and for a pipeline's policy route.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.google.protobuf import Any, Struct, Value

from hydro_envoy import headers
from hydro_envoy.headers import METADATA, SCOPE
from hydro_envoy.resources import request_id
from hydro_envoy.resources.local_replies import MAX_STAGES
from hydro_envoy.resources.log_filters import GRPC_STATUS, IS_TRANSCODED, cel
from hydro_envoy.resources.names import stage_filter_name

_EACH = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "http_status": "%RESPONSE_CODE%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%RESPONSE_DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "response_flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "trace_id": "%TRACE_ID%",
    "request_id": request_id.LOGGED,
}
_GRPC_STATUS = {"grpc_status": GRPC_STATUS}
_ASKED = {
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "http_version": "%PROTOCOL%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "user_agent": "%REQ(user-agent)%",
}
_REQUEST = {
    "log": "request",
    **_EACH,
    "pipeline": f"%REQ({SCOPE})%",
    "variant": f"%RESP({headers.VARIANT})%",
    "method": "%ROUTE_NAME%",
    **_ASKED,
}
_API = {"log": "api", **_EACH, **_ASKED}
_CHAIN = {
    "log": "chain",
    **_EACH,
    **_GRPC_STATUS,
    "pipeline": f"%METADATA(ROUTE:{METADATA}:{headers.ROUTE_PIPELINE})%",
    "chain": f"%REQ({SCOPE})%",
    "stages": f"%METADATA(ROUTE:{METADATA}:{headers.ROUTE_STAGES})%",
    "upstream": "%UPSTREAM_HOST%",
}


def gateway_logs(file: str) -> list[AccessLog]:
    """Of the listener that clients reach; `file` is where to write, or nothing."""
    http, grpc = {"protocol": "http"}, {"protocol": "grpc"}
    return [
        *_file_log(file, _REQUEST | http, IS_TRANSCODED),
        *_file_log(file, _REQUEST | grpc | _GRPC_STATUS, f"!({IS_TRANSCODED})"),
    ]


def api_logs(name: str, file: str) -> list[AccessLog]:
    """Of the listener of a service's API; `file` is where to write, or nothing."""
    fields = _API | {"part": name}
    return [
        *_file_log(file, fields | {"protocol": "http"}, IS_TRANSCODED),
        *_file_log(file, fields | {"protocol": "grpc"} | _GRPC_STATUS, f"!({IS_TRANSCODED})"),
    ]


def pipes_logs(file: str) -> list[AccessLog]:
    """Of the listener with the chains; `file` is where to write, or nothing."""
    return _file_log(file, _CHAIN | dict(_stage_fields()), "true")


def _stage_fields() -> Iterator[tuple[str, str]]:
    """How long the answers of each stage took in all; the last stage is the upstream."""
    for i in range(MAX_STAGES - 1):
        name = stage_filter_name(i)
        yield f"{name}_us", f"%FILTER_STATE({name}:FIELD:request_body_total_latency_us)%"
    yield "last_stage_us", "%COMMON_DURATION(US_TX_BEG:US_RX_END:us)%"


def _file_log(path: str, fields: Mapping[str, str], when: str) -> list[AccessLog]:
    if not path:
        return []
    texts = {name: Value(string_value=text) for name, text in fields.items()}
    format = SubstitutionFormatString(json_format=Struct(fields=texts), omit_empty_values=True)
    config = Any.pack(FileAccessLog(path=path, log_format=format))
    return [AccessLog(name="envoy.access_loggers.file", filter=cel(when), typed_config=config)]
