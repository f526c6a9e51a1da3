"""Limits of what a pipeline takes: requests in a time, bytes in a request. Pure."""

from __future__ import annotations

import math
from datetime import timedelta

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValueOption,
    RuntimeFractionalPercent,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    RateLimit,
    RateLimitAction,
    RateLimitActionHeaderValueMatch,
    RateLimitActionRequestHeaders,
)
from envoy_data_plane.envoy.extensions.common.ratelimit.v3 import (
    LocalRateLimitDescriptor,
    RateLimitDescriptorEntry,
)
from envoy_data_plane.envoy.extensions.filters.http.local_ratelimit.v3 import LocalRateLimit
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.v3 import FractionalPercent, TokenBucket
from envoy_data_plane.google.protobuf import Any

from hydro_envoy import headers, mesh
from hydro_envoy.headers import Fact
from hydro_envoy.policy import RateLimit as Limit
from hydro_envoy.resources.body_size_limit import BodySizeLimit
from hydro_envoy.resources.routes import set_header

RATE_LIMIT, KEY_RATE_LIMIT = "rate_limit", "rate_limit_per_api_key"
"""Names of filters of `pipes`; the virtual hosts of policy routes bring their content."""

MAX_KEYS = 10_000
"""So many keys are counted; beyond, the one that was not seen for longest starts anew."""

_NO_LIMIT = Limit(2**32 - 1, 0.05)


def body_bytes(max_message_bytes: int) -> int:
    """Of a body of JSON that becomes one message, with what the message has around it."""
    return max_message_bytes + 64 * 1024


def retry_buffer_bytes(max_message_bytes: int) -> int:
    """Of a request, so that it can be sent again: the greatest message with what is around it.

    A body of JSON goes on in pieces as they come, each with some 40 bytes around it. An eighth is
    enough for pieces of 350 bytes.
    """
    return body_bytes(max_message_bytes) + max_message_bytes // 8


def rate_limit_filters() -> list[HttpFilter]:
    """Disabled except where a virtual host brings their content. The limit by key comes first.

    Who is beyond the limit of a key takes nothing of what the pipeline takes as a whole.
    """
    idle = Any.pack(LocalRateLimit(stat_prefix="idle"))
    return [
        HttpFilter(name=name, typed_config=idle, disabled=True)
        for name in (KEY_RATE_LIMIT, RATE_LIMIT)
    ]


def rate_limits(pipeline: mesh.Pipeline) -> dict[str, Any]:
    """The filters' content, for the policy route's virtual host: its routes share the buckets."""
    found, policy = {}, pipeline.policy
    if policy.rate_limit:
        limited = f"pipeline {pipeline.name!r}"
        found[RATE_LIMIT] = Any.pack(_local_rate_limit(pipeline, policy.rate_limit, limited))
    if policy.rate_limit_per_api_key:
        key = headers.CALLER if policy.access else headers.API_KEY
        whose = "caller" if policy.access else headers.API_KEY
        limited = f"pipeline {pipeline.name!r}, of one {whose},"
        by_key = _local_rate_limit(pipeline, policy.rate_limit_per_api_key, limited)
        # A wildcard: the descriptor has no value, so that Envoy makes a bucket for each key that it
        # sees.
        by_key.descriptors = [
            LocalRateLimitDescriptor(
                entries=[RateLimitDescriptorEntry(key="api_key")], token_bucket=by_key.token_bucket
            )
        ]
        by_key.rate_limits = [
            RateLimit(actions=[_count_by_key(key)]),
            # Those without a key share one bucket, or leaving the key out would be the way around
            # the limit.
            RateLimit(actions=[_count_without_key(key)]),
        ]
        by_key.max_dynamic_descriptors = MAX_KEYS
        # Envoy demands a bucket for what no descriptor matches, and takes from it as well.
        by_key.token_bucket = _token_bucket(_NO_LIMIT)
        found[KEY_RATE_LIMIT] = Any.pack(by_key)
    return found


def _local_rate_limit(pipeline: mesh.Pipeline, limit: Limit, limited: str) -> LocalRateLimit:
    always = RuntimeFractionalPercent(default_value=FractionalPercent(numerator=100))
    return LocalRateLimit(
        stat_prefix=pipeline.name,
        token_bucket=_token_bucket(limit),
        filter_enabled=always,
        filter_enforced=always,
        rate_limited_as_resource_exhausted=True,
        response_headers_to_add=_refusal_headers(limit, limited),
    )


def _token_bucket(limit: Limit) -> TokenBucket:
    return TokenBucket(
        max_tokens=limit.requests,
        tokens_per_fill=limit.requests,
        fill_interval=timedelta(seconds=limit.per_s),
    )


def _count_by_key(header_name: str) -> RateLimitAction:
    by_header = RateLimitActionRequestHeaders(header_name=header_name, descriptor_key="api_key")
    return RateLimitAction(request_headers=by_header)


def _count_without_key(header_name: str) -> RateLimitAction:
    absent = HeaderMatcher(name=header_name, present_match=False)
    without_header = RateLimitActionHeaderValueMatch(
        descriptor_key="api_key", descriptor_value="none", headers=[absent]
    )
    return RateLimitAction(header_value_match=without_header)


def _refusal_headers(limit: Limit, limited: str) -> list[HeaderValueOption]:
    """How long to wait, in HTTP's way (whole seconds) and for errors.lua."""
    takes = f"{limited} takes {limit.requests} requests in {limit.per_s:g} s"
    facts = {
        Fact.TEXT: f"{takes}; try again in {float(f'{limit.wait_s:.3g}'):g} s",
        Fact.LIMIT: f"{limit.requests} requests in {limit.per_s:g} s",
        Fact.WAIT_S: f"{limit.wait_s:.9f}",
    }
    waits = set_header("retry-after", str(math.ceil(limit.wait_s)))
    return [waits, *(set_header(fact.header, text) for fact, text in facts.items())]


def message_limit_filter(max_message_bytes: int) -> TypedExtensionConfig:
    """Refuses what is longer, with what the message may have around it, as soon as it is."""
    # Between stages a message is a frame: columns have names and offsets beside their bytes.
    limit = max_message_bytes + max_message_bytes // 16 + 1024
    config = Any.pack(BodySizeLimit(max_request_bytes=limit))
    return TypedExtensionConfig(name="max_message_bytes", typed_config=config)
