"""Where resources that others refer to come from. Pure."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core.v3 import AggregatedConfigSource, ApiVersion, ConfigSource


def ads_source() -> ConfigSource:
    """From the stream that brought the resource which refers to it."""
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
