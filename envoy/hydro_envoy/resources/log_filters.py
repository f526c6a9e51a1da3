"""Conditions on a request that has ended, for access logs and mappings of replies. Pure."""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    ExtensionFilter,
    HeaderFilter,
    ResponseFlagFilter,
)
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

IS_TRANSCODED = "'x-envoy-original-method' in request.headers"
"""In CEL: the transcoder made a call of the request, and an HTTP answer of the call's, whose gRPC
status is lost."""
GRPC_STATUS = "%GRPC_STATUS(SNAKE_STRING)%"
"""The format of it in logs and labels."""


def is_grpc() -> AccessLogFilter:
    # The transcoder makes gRPC of HTTP requests, and notes the original method.
    transcoded = has_header("x-envoy-original-method", present=False)
    return all_of(has_header("content-type", prefix="application/grpc"), transcoded)


def has_header(name: str, *, prefix: str = "", present: bool = True) -> AccessLogFilter:
    if prefix:
        matcher = HeaderMatcher(name=name, string_match=StringMatcher(prefix=prefix))
    else:
        matcher = HeaderMatcher(name=name, present_match=present)
    return AccessLogFilter(header_filter=HeaderFilter(header=matcher))


def has_flags(*flags: str) -> AccessLogFilter:
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(flags)))


def all_of(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))


def cel(expression: str) -> AccessLogFilter:
    """What holds for a request that has ended, in Envoy's attributes."""
    config = Any.pack(ExpressionFilter(expression=expression))
    return AccessLogFilter(extension_filter=ExtensionFilter(name="cel", typed_config=config))
