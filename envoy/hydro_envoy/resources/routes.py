"""A chain as a scope and a route that carries its stages. Pure.

The route's `filter_chain` has an ext_proc filter for each stage but the last, which is the
router's upstream. Each stage's process receives, as metadata of its call, the model's key, the
stage's and the pipeline's names, and its position: see `headers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Metadata,
    RetryPolicy,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    FilterConfig,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    ScopedRouteConfiguration,
    ScopedRouteConfigurationKey,
    ScopedRouteConfigurationKeyFragment,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import (
    ExternalProcessor,
    ProcessingMode,
    ProcessingModeBodySendMode,
    ProcessingModeHeaderSendMode,
)
from envoy_data_plane.envoy.extensions.filters.http.filter_chain.v3 import (
    FilterChain,
    FilterChainConfigPerRoute,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode
from envoy_data_plane.google.protobuf import Any, ListValue, Struct, Value

from hydro_envoy import headers
from hydro_envoy.headers import Position
from hydro_envoy.mesh import MAX_MESSAGE_BYTES, SHADOW, Chain, Pending, Stage, Upstream
from hydro_envoy.resources.names import routes_name, stage_filter_name
from hydro_envoy.resources.retries import NOT_BEGUN
from hydro_envoy.snapshot import Ref, Resource, ResourceType, make_resource

CHAIN_FILTER = "chain"
"""The name of the filter of `pipes` whose content the routes bring."""

DONE = "x-envoy-ratelimited"
"""On an answer: the gateway must not retry. Envoy's own header; the policy route has retried."""

WHOLE_ANSWER = "whole_answer"
"""The name of the filter of `pipes` that holds answers, which the routes of chains put to work."""

HELD_BYTES = 4 * MAX_MESSAGE_BYTES
"""Of an answer that is to be whole: as many as the filter holds. What comes in has the same size as
a message at most, and models add to that."""
_PIECE_BYTES = 2 << 20
"""More than what comes at once, on top of what the filter has counted."""

_LOADING = "does not serve yet: its models are being read or loaded; try again in a few seconds"
_FAILED = (
    "does not serve: it could not be made ready, `hydro pipelines get` tells why; try again when "
    "that is mended"
)

SHADOW_LIMIT = timedelta(seconds=60)
"""How long a copy of a request may take: nobody else would end one that hangs."""


def pipeline_scope(name: str, clusters: Sequence[Upstream]) -> Resource:
    """Leads requests with the header `x-pipeline: <name>` to the routes of that name."""
    # A scope for each pipeline instead of one table of all routes: a change sends one route, not
    # all.
    fragment = ScopedRouteConfigurationKeyFragment(string_key=name)
    built = ScopedRouteConfiguration(
        name=name,
        route_configuration_name=routes_name(name),
        key=ScopedRouteConfigurationKey(fragments=[fragment]),
    )
    refs = [*_cluster_refs(clusters), Ref(ResourceType.ROUTES, routes_name(name))]
    return make_resource(ResourceType.SCOPE, name, bytes(built), refs)


def chain_routes(chain: Chain, clusters: Sequence[Upstream], token: str = "") -> Resource:
    """The chain's one route; `clusters` has the cluster of each stage, in order."""
    route = _chain_route(chain, tuple(clusters), token)
    host = VirtualHost(name=chain.scope, domains=["*"], routes=[route])
    built = RouteConfiguration(name=routes_name(chain.scope), virtual_hosts=[host])
    return make_resource(ResourceType.ROUTES, built.name, bytes(built), _cluster_refs(clusters))


def pending_routes(waiting: Pending) -> Resource:
    """The routes of a pipeline that does not serve yet: each request is answered with why."""
    why = _FAILED if waiting.has_failed else _LOADING
    text = f"pipeline '{waiting.name}' {why}"
    answer = DirectResponseAction(status=503, body=DataSource(inline_string=text))
    route = Route(
        name=waiting.name,
        match=RouteMatch(prefix="/"),
        direct_response=answer,
        metadata=route_metadata(waiting.name),
        response_headers_to_add=[set_header(headers.PIPELINE, waiting.name)],
    )
    host = VirtualHost(name=waiting.name, domains=["*"], routes=[route])
    built = RouteConfiguration(name=routes_name(waiting.name), virtual_hosts=[host])
    return make_resource(ResourceType.ROUTES, built.name, bytes(built))


def set_header(key: str, value: str) -> HeaderValueOption:
    """Sets a header, whatever was there."""
    return HeaderValueOption(
        header=HeaderValue(key=key, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def stage_headers(chain: Chain, index: int) -> list[tuple[str, str]]:
    """The headers that tell the stage's process what to do."""
    stage = chain.stages[index]
    return [
        (headers.MODEL, stage.model),
        (headers.PIPELINE, chain.pipeline),
        (headers.POSITION, Position.at(index, len(chain.stages)).value),
        (headers.STAGE, stage.name),
    ]


def _cluster_refs(clusters: Sequence[Upstream]) -> list[Ref]:
    counting = {each.cluster for each in clusters if each.behind}
    backends = {each.behind or each.cluster for each in clusters}
    return [
        *(Ref(ResourceType.CLUSTER, name) for name in sorted(counting | backends)),
        *(Ref(ResourceType.ENDPOINTS, name) for name in sorted(backends)),
    ]


def _chain_route(chain: Chain, clusters: tuple[Upstream, ...], token: str) -> Route:
    last = len(clusters) - 1
    action = RouteAction(
        cluster=clusters[last].cluster,
        # The gateway limits calls; a second clock here would cut long streams.
        timeout=timedelta(0),
        idle_timeout=SHADOW_LIMIT if chain.variant == SHADOW else None,
        # No retries: a router that may try again keeps the body. The gateway's run the whole chain.
    )
    filters = [_stage_filter(chain, i, clusters[i], token) for i in range(last)]
    stage_chain = FilterChainConfigPerRoute(filter_chain=FilterChain(filters=filters))
    in_filters = {CHAIN_FILTER: Any.pack(stage_chain)} if filters else {}
    if chain.variant != SHADOW:
        # An empty configuration turns the filter on for this route; it is off for all others.
        in_filters[WHOLE_ANSWER] = Any.pack(FilterConfig(config=Any()))
    return Route(
        name=chain.scope,
        match=_chain_match(chain),
        route=action,
        stat_prefix=chain.scope,
        request_headers_to_add=[
            set_header(k, _escape_format(v))
            for k, v in _sent_headers(chain, last, clusters[last], token)
        ],
        response_headers_to_add=[
            set_header(headers.PIPELINE, chain.pipeline),
            set_header(headers.ANSWER, f"%REQ({headers.ANSWER})%"),
        ],
        metadata=route_metadata(chain.pipeline, chain.stages),
        typed_per_filter_config=in_filters,
        request_body_buffer_limit=HELD_BYTES + _PIECE_BYTES,  # of answers as well
    )


def route_metadata(pipeline: str, stages: Sequence[Stage] = ()) -> Metadata:
    """Tells the pipeline of a route, and of the stages behind it names and breakers' limits."""
    fields = {headers.ROUTE_PIPELINE: Value(string_value=pipeline)}
    if stages:
        fields[headers.ROUTE_STAGES] = _text_list(stage.name for stage in stages)
        fields[headers.ROUTE_LIMITS] = _text_list(
            str(stage.policy.max_requests) for stage in stages
        )
    return Metadata(filter_metadata={headers.METADATA: Struct(fields=fields)})


def _text_list(texts: Iterable[str]) -> Value:
    return Value(list_value=ListValue(values=[Value(string_value=text) for text in texts]))


def _chain_match(chain: Chain) -> RouteMatch:
    if not chain.variant:
        return RouteMatch(prefix="/")
    # Only a policy route sets it: nobody gets past one by naming a chain's scope as a pipeline.
    exactly = StringMatcher(exact=chain.pipeline)
    by_pipeline = HeaderMatcher(name=headers.PIPELINE, string_match=exactly)
    return RouteMatch(prefix="/", headers=[by_pipeline])


def _sent_headers(chain: Chain, index: int, to: Upstream, token: str) -> list[tuple[str, str]]:
    """With what the listener behind a circuit breaker needs, and the process wants to see."""
    behind = [(headers.CLUSTER_BEHIND, to.behind)] if to.behind else []
    shown = [(headers.MESH_TOKEN, token)] if token else []
    return [*behind, *shown, *stage_headers(chain, index)]


def _stage_filter(chain: Chain, index: int, to: Upstream, token: str) -> TypedExtensionConfig:
    send, skip = ProcessingModeHeaderSendMode.SEND, ProcessingModeHeaderSendMode.SKIP
    config = ExternalProcessor(
        grpc_service=_stage_service(chain, index, to, token),
        processing_mode=ProcessingMode(
            # The runtime needs the request's headers for its attempt and its id; of the answer it
            # needs nothing.
            request_header_mode=send,
            response_header_mode=skip,
            request_body_mode=ProcessingModeBodySendMode.FULL_DUPLEX_STREAMED,
            request_trailer_mode=send,  # full duplex demands it
        ),
        # Without it a dead stage would be UNKNOWN, which the gateway's retries do not match.
        status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
        # No name has a bar: the bootstrap makes labels of this.
        stat_prefix=f"{chain.pipeline}|{chain.variant}|{index}|{_stat_name(chain.stages[index])}",
    )
    return TypedExtensionConfig(name=stage_filter_name(index), typed_config=Any.pack(config))


def _escape_format(value: str) -> str:
    return value.replace("%", "%%")  # Envoy reads %…% as a command


def _stat_name(stage: Stage) -> str:
    return stage.name.replace(":", "-").replace(".", "_")


def _stage_service(chain: Chain, index: int, to: Upstream, token: str) -> GrpcService:
    return GrpcService(
        envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=to.cluster),
        initial_metadata=[
            HeaderValue(key=k, value=_escape_format(v))
            for k, v in _sent_headers(chain, index, to, token)
        ],
        retry_policy=_begin_again() if chain.retried else None,
    )


def _begin_again() -> RetryPolicy:
    # What was begun is run again with the whole chain: the stage may be what ended the process.
    return RetryPolicy(num_retries=2, retry_on=NOT_BEGUN)
