"""The message of Envoy's filter `body_size_limit`, which envoy-data-plane does not have yet.

https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/body_size_limit/v3/body_size_limit.proto
"""

from __future__ import annotations

import betterproto2
from envoy_data_plane.google.protobuf import UInt64Value
from envoy_data_plane.message_pool import default_message_pool
from pydantic.dataclasses import dataclass


@dataclass(eq=False, repr=False, config={"extra": "forbid"})
class BodySizeLimit(betterproto2.Message):
    """Refuses a body as soon as it is longer, with the status 413."""

    max_request_bytes: int | None = betterproto2.field(
        1, betterproto2.TYPE_MESSAGE, unwrap=lambda: UInt64Value, optional=True
    )


default_message_pool.register_message(
    "envoy.extensions.filters.http.body_size_limit.v3", "BodySizeLimit", BodySizeLimit
)
