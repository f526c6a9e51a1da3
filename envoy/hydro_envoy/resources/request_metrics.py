"""What Envoy counts and measures when a request has ended. Pure; builds with envoy-data-plane.

The loggers of statistics are access loggers, too: they stand beside those of `access_logs`. Labels
come from our own configuration alone: a client that asks for what does not exist makes no series.
"""

from __future__ import annotations

from collections.abc import Mapping

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.extensions.access_loggers.stats.v3 import (
    Config,
    ConfigCounter,
    ConfigHistogram,
    ConfigHistogramUnit,
    ConfigStat,
    ConfigTag,
)
from envoy_data_plane.envoy.type.v3 import Scope
from envoy_data_plane.google.protobuf import Any

from hydro_envoy import headers
from hydro_envoy.headers import METADATA, SCOPE
from hydro_envoy.resources.log_filters import GRPC_STATUS, IS_TRANSCODED, cel

_ANSWERED = f"'{headers.PIPELINE}' in response.headers"
"""By a pipeline: its routes mark what they answer, also with an error."""
_LEFT = (
    f"xds.route_metadata.filter_metadata['{METADATA}']['{headers.ROUTE_PIPELINE}'] != ''"
    f" && !({_ANSWERED}) && !request.headers['{SCOPE}'].contains('@')"
)
_SCOPE = Scope(prefix="hydro")


def gateway_metrics() -> list[AccessLog]:
    """Of requests that pipelines answered, by the listener that clients reach."""
    return [
        _request_stats(f"{_ANSWERED} && {IS_TRANSCODED}", "http", "%RESPONSE_CODE%"),
        _request_stats(f"{_ANSWERED} && !({IS_TRANSCODED})", "grpc", GRPC_STATUS),
    ]


def pipes_metrics() -> list[AccessLog]:
    """Of requests whose clients left before the answer, by the listener with the chains."""
    tags = {"hydro_pipeline": f"%METADATA(ROUTE:{METADATA}:{headers.ROUTE_PIPELINE})%"}
    counted = Config(stats_scope=_SCOPE, counters=[_counter("unanswered_requests", tags)])
    return [_stats_log(counted, _LEFT)]


def _request_stats(when: str, protocol: str, code: str) -> AccessLog:
    tags = {"hydro_pipeline": f"%RESP({headers.PIPELINE})%", "hydro_method": "%ROUTE_NAME%"}
    duration = ConfigHistogram(
        stat=_config_stat("request_ms", tags),
        unit=ConfigHistogramUnit.Milliseconds,
        value_format="%DURATION%",
    )
    counted = _counter("requests", tags | {"hydro_protocol": protocol, "hydro_code": code})
    config = Config(stats_scope=_SCOPE, counters=[counted], histograms=[duration])
    return _stats_log(config, when)


def _counter(name: str, tags: Mapping[str, str]) -> ConfigCounter:
    return ConfigCounter(stat=_config_stat(name, tags), value_fixed=1)


def _config_stat(name: str, tags: Mapping[str, str]) -> ConfigStat:
    return ConfigStat(name=name, tags=[ConfigTag(name=k, value_format=v) for k, v in tags.items()])


def _stats_log(config: Config, when: str) -> AccessLog:
    return AccessLog(
        name="envoy.access_loggers.stats", filter=cel(when), typed_config=Any.pack(config)
    )
