"""A pipeline's policy route, which comes before the routes of its chains. Pure.

A pipeline that has policies or variants has two levels in `pipes`: its own scope is the policy
route, which chooses a chain by `x-pipeline: <pipeline>@<variant>` and sends the request through the
same listener again. So what it limits, retries and copies is the request as a whole, and changing a
weight changes one route.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation
from envoy_data_plane.envoy.config.core.v3 import HeaderValueOption, RuntimeFractionalPercent
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    Route,
    RouteAction,
    RouteActionHashPolicy,
    RouteActionHashPolicyHeader,
    RouteActionMaxStreamDuration,
    RouteActionRequestMirrorPolicy,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
    WeightedClusterClusterWeight,
)
from envoy_data_plane.envoy.extensions.filters.http.filter_chain.v3 import (
    FilterChain,
    FilterChainConfigPerRoute,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import FractionalPercent
from envoy_data_plane.google.protobuf import Any

from hydro_envoy import headers
from hydro_envoy.mesh import MAIN, SHADOW, Pipeline
from hydro_envoy.resources import access, limits, retries
from hydro_envoy.resources.clusters import CHAINS, SHADOWS
from hydro_envoy.resources.names import routes_name
from hydro_envoy.resources.routes import CHAIN_FILTER, DONE, route_metadata, set_header
from hydro_envoy.snapshot import Ref, Resource, ResourceType, make_resource

_STREAM_PATH = "/hydro.serving.v1.PredictionService/PredictStream"


def policy_routes(pipeline: Pipeline, max_message_bytes: int) -> Resource:
    """The routes of a pipeline's own scope; the second argument is the gateway's limit."""
    host = VirtualHost(
        name=pipeline.name,
        domains=["*"],
        routes=list(_routes(pipeline, limits.retry_buffer_bytes(max_message_bytes))),
        typed_per_filter_config=access.access_filters(pipeline) | limits.rate_limits(pipeline),
        include_request_attempt_count=True,  # runs of the chain, from here on
    )
    built = RouteConfiguration(
        name=routes_name(pipeline.name),
        virtual_hosts=[host],
        response_headers_to_add=[
            set_header(DONE, "true"),
            set_header(headers.PIPELINE, pipeline.name),
        ],
    )
    refs = [Ref(ResourceType.CLUSTER, name) for name in (CHAINS, SHADOWS)]
    for chain in pipeline.chains:
        refs.append(Ref(ResourceType.SCOPE, chain.scope))
        refs.append(Ref(ResourceType.ROUTES, routes_name(chain.scope)))
    return make_resource(ResourceType.ROUTES, built.name, bytes(built), refs)


def _routes(pipeline: Pipeline, buffer_bytes: int) -> Iterator[Route]:
    """Of each choice of a chain one route for streams, and one for what has an end."""
    traffic = pipeline.traffic
    choices = [(v.headers, {v.name: 100}) for v in traffic.variants if v.headers]
    # What is left after the variants, which `policies` has checked to be at most 100.
    shares = {MAIN: 100 - sum(v.weight for v in traffic.variants)}
    shares |= {v.name: v.weight for v in traffic.variants}
    # Envoy takes the first route that matches: those that a header asks for come before the shares.
    for named, weights in (*choices, ((), shares)):
        matchers = [HeaderMatcher(name=k, string_match=StringMatcher(exact=v)) for k, v in named]
        for match in (
            RouteMatch(path=_STREAM_PATH, headers=matchers),
            RouteMatch(prefix="/", headers=matchers),
        ):
            yield _route(pipeline, match, weights, buffer_bytes)


def _route(
    pipeline: Pipeline, match: RouteMatch, weights: dict[str, int], buffer_bytes: int
) -> Route:
    policy, is_stream = pipeline.policy, bool(match.path)
    # A stream is longer than any message; its messages are limited one by one in the stages.
    size = None if is_stream else policy.max_message_bytes
    filters = [limits.message_limit_filter(size)] if size else []
    found = FilterChainConfigPerRoute(filter_chain=FilterChain(filters=filters))
    return Route(
        name=pipeline.name,
        match=match,
        route=_route_action(pipeline, weights, is_stream=is_stream),
        stat_prefix=pipeline.name,
        metadata=route_metadata(pipeline.name),
        request_headers_to_add=[set_header(headers.PIPELINE, pipeline.name)],
        typed_per_filter_config={CHAIN_FILTER: Any.pack(found)} if filters else {},
        request_body_buffer_limit=buffer_bytes,
    )


def _route_action(pipeline: Pipeline, weights: dict[str, int], *, is_stream: bool) -> RouteAction:
    policy, sticky = pipeline.policy, pipeline.traffic.sticky_header
    limit_s = None if is_stream else policy.timeout_s
    return RouteAction(
        weighted_clusters=WeightedCluster(
            clusters=[
                _weighted_chain(pipeline, name, weight)
                for name, weight in weights.items()
                if weight
            ],
            use_hash_policy=True if sticky else None,
        ),
        hash_policy=[_hash_policy(sticky)] if sticky else [],
        # Envoy's route timeout begins when the request is complete; the one below counts from its
        # start, tries included.
        timeout=timedelta(0),
        max_stream_duration=_max_duration(limit_s) if limit_s else None,
        retry_policy=retries.retry_policy(
            retries.UNAVAILABLE,
            policy.retry.num_retries,
            None if is_stream else policy.retry.per_try_timeout_s,
        )
        if policy.retry.num_retries
        else None,
        request_mirror_policies=_mirror_policies(pipeline),
    )


def _weighted_chain(pipeline: Pipeline, variant: str, weight: int) -> WeightedClusterClusterWeight:
    answered = [set_header(headers.VARIANT, variant)] if pipeline.traffic.variants else []
    return WeightedClusterClusterWeight(
        name=CHAINS,
        weight=weight,
        request_headers_to_add=[_scope_header(pipeline, variant)],
        response_headers_to_add=answered,
    )


def _scope_header(pipeline: Pipeline, variant: str) -> HeaderValueOption:
    return set_header(headers.SCOPE, headers.scope_name(pipeline.name, variant))


def _hash_policy(name: str) -> RouteActionHashPolicy:
    return RouteActionHashPolicy(header=RouteActionHashPolicyHeader(header_name=name))


def _max_duration(limit_s: float) -> RouteActionMaxStreamDuration:
    limit = timedelta(seconds=limit_s)
    return RouteActionMaxStreamDuration(max_stream_duration=limit, grpc_timeout_header_max=limit)


def _mirror_policies(pipeline: Pipeline) -> list[RouteActionRequestMirrorPolicy]:
    shadow = pipeline.traffic.shadow
    if not shadow:
        return []
    share = RuntimeFractionalPercent(default_value=FractionalPercent(numerator=shadow.percent))
    return [
        RouteActionRequestMirrorPolicy(
            cluster=SHADOWS,
            runtime_fraction=share,
            # Without this Envoy changes the authority to `...-shadow`, which no virtual host here
            # has.
            disable_shadow_host_suffix_append=True,
            request_headers_mutations=[HeaderMutation(append=_scope_header(pipeline, SHADOW))],
        )
    ]
