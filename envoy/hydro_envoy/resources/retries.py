"""When Envoy sends a request again. Pure."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    RetryPolicy,
    RetryPolicyRetryBackOff,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from hydro_envoy.policy import NUM_RETRIES

UNAVAILABLE = "connect-failure,refused-stream,reset,unavailable,retriable-headers"
"""The chain did not answer, or answered UNAVAILABLE before anything else. Stages are pure."""

NOT_BEGUN = "connect-failure,refused-stream"
"""For what may not be one to be done twice."""


def retry_policy(
    retry_on: str, num_retries: int = NUM_RETRIES, per_try_timeout_s: float | None = None
) -> RetryPolicy:
    """The waits are random up to the interval, so many short ones are surer than a few long."""
    return RetryPolicy(
        retry_on=retry_on,
        retriable_headers=[
            HeaderMatcher(name="grpc-status", string_match=StringMatcher(exact="14"))
        ],
        num_retries=num_retries,
        per_try_timeout=timedelta(seconds=per_try_timeout_s) if per_try_timeout_s else None,
        retry_back_off=RetryPolicyRetryBackOff(
            base_interval=timedelta(milliseconds=25), max_interval=timedelta(milliseconds=250)
        ),
    )
