"""The HTTP paths that services have by their annotations, for who uses a wrong method. Pure.

The transcoder makes a gRPC path of a request that fits an annotation, so what still has its HTTP
path when a route is looked for came by another method.
Source: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    Route,
    RouteMatch,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from hydro_envoy.resources.routes import set_header

_VARIABLE = re.compile(r"\{[^}=]*(?:=([^}]*))?\}")


def wrong_method_routes(services: Sequence[str], descriptor_set: bytes) -> list[Route]:
    """Routes that answer 405 and say what a path allows; to stand after all others."""
    by_path: defaultdict[str, set[str]] = defaultdict(set)
    for method, template in _http_bindings(services, descriptor_set):
        by_path[_path_regex(template)].add(method)
    by_annotation = [
        _wrong_method_route(RouteMatch(safe_regex=RegexMatcher(regex=path)), sorted(allowed))
        for path, allowed in by_path.items()
    ]
    grpc = [_wrong_method_route(RouteMatch(prefix=f"/{name}/"), ["POST"]) for name in services]
    return [*by_annotation, *grpc]


def _http_bindings(services: Sequence[str], descriptor_set: bytes) -> Iterator[tuple[str, str]]:
    """Method and template of each annotation."""
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        for service in file.service:
            if f"{file.package}.{service.name}" not in services:
                continue
            for method in service.method:
                rule = method.options.Extensions[annotations_pb2.http]
                for each in (rule, *rule.additional_bindings):
                    yield from _rule_binding(each)


def _rule_binding(rule: http_pb2.HttpRule) -> Iterator[tuple[str, str]]:
    kind = rule.WhichOneof("pattern")
    if kind == "custom":
        yield rule.custom.kind, rule.custom.path
    elif kind:
        yield kind.upper(), getattr(rule, kind)


def _path_regex(template: str) -> str:
    """A template as a regular expression: `*` is a segment, `**` any number of them."""
    bare = _VARIABLE.sub(lambda variable: variable[1] or "*", template)
    return re.escape(bare).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")


def _wrong_method_route(match: RouteMatch, allowed: Sequence[str]) -> Route:
    listed = ", ".join(allowed)
    by_others = HeaderMatcher(
        name=":method",
        string_match=StringMatcher(safe_regex=RegexMatcher(regex="|".join(allowed))),
        invert_match=True,
    )
    return Route(
        name="wrong method",
        match=replace(match, headers=[by_others]),
        direct_response=DirectResponseAction(status=405, body=DataSource(inline_string=listed)),
        response_headers_to_add=[set_header("allow", listed)],
    )
