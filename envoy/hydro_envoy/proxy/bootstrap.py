"""Envoy's static configuration: who it is, where its control plane is, and its admin port. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydro_envoy import headers
from hydro_envoy.address import ANY_PORT, Address
from hydro_envoy.mesh import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from hydro_envoy.nodes import GATEWAY, SIDECAR, Node
from hydro_envoy.proxy import connections
from hydro_envoy.proxy.manager_cluster import (
    EXTENSIONS,
    IdentityFiles,
    load_assignment,
    manager_cluster,
    socket_address,
)
from hydro_envoy.snapshot import MANAGER_CLUSTER

METRICS, METRICS_PATH = "metrics", "/metrics"
"""The listener with Envoy's statistics for Prometheus: the admin API is not for other machines."""
REQUEST_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000)
_ALWAYS = {"ignore_global_conn_limit": True}
"""Who looks what is wrong gets in."""


_MONITORS = f"{EXTENSIONS}.resource_monitors"
_ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
"""Without end: an Envoy that serves nothing is not ready, however long its manager takes."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What differs between Envoys."""

    node_id: str
    role: str
    """For example `gateway` or `sidecar`."""
    ads: Address
    """The manager's gRPC port: ADS, and what API listeners call `manager`."""
    admin: Address = ANY_PORT
    """Port 0: any free one; see `Envoy.admin`."""
    metrics: Address | None = None
    """Where Prometheus gets /metrics, if anywhere; then the admin port must be a given one."""
    egress: Address | None = None
    """Of a sidecar: where its process reaches others, on loopback."""
    tls: Path | None = None
    """Of a gateway that speaks TLS with clients: a Secret `server`, as JSON; may change."""
    identity: IdentityFiles | None = None
    """What it shows to the manager's sidecar; None: the manager has none, or is beside it."""
    more: tuple[Address, ...] = ()
    """Other managers of the same mesh."""
    token: str = field(default="", repr=False)
    """What it shows to the manager where that is on the same machine; empty: nothing."""
    managers: Path | None = None
    """A file that says where managers are, instead; see `manager_cluster`. Absolute; may change."""
    drain_key: str = field(default="", repr=False)
    """Of who may have Envoy drain; empty: nobody."""
    max_connections: int = connections.MOST
    """Of clients, at all ports together; the admin's and the metrics' port do not count."""


_MANAGER = {
    "cluster_name": MANAGER_CLUSTER,
    # Envoy's own waits grow to 30 s.
    "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
}


def bootstrap_json(wanted: Bootstrap) -> str:
    """The configuration as JSON."""
    return json.dumps(_config(wanted), indent=1)


def _config(wanted: Bootstrap) -> dict[str, Any]:
    manager = {"envoy_grpc": _MANAGER} | _token_metadata(wanted.token)
    return _load_reporting(wanted, manager) | {
        "admin": {
            "address": socket_address(wanted.admin),
            "allow_paths": _admin_paths(wanted.drain_key),
            **_ALWAYS,
        },
        "node": _node(wanted),
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [manager],
                "set_node_on_first_message_only": True,
            },
            "cds_config": _ADS,
            "lds_config": _ADS,
        },
        "static_resources": _static_resources(wanted),
        "bootstrap_extensions": [_internal_listener()],
        "layered_runtime": {"layers": _runtime_layers(wanted)},
        "stats_flush_interval": "1s",  # histograms are as old as that when somebody reads them
        "stats_config": {
            "stats_tags": _stage_tags(),
            "histogram_bucket_settings": [_histogram_buckets()],
        },
        "overload_manager": {"resource_monitors": [_connection_limit(wanted)]},
    }


def _load_reporting(wanted: Bootstrap, manager: dict[str, Any]) -> dict[str, Any]:
    """An Envoy with pipelines reports what uses the draining clusters."""
    if wanted.role == SIDECAR:
        return {}
    config = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [manager]}
    return {"cluster_manager": {"load_stats_config": config}}


def _token_metadata(token: str) -> dict[str, Any]:
    return {"initial_metadata": [{"key": headers.MESH_TOKEN, "value": token}]} if token else {}


_ADMIN_PATHS = (
    "/ready",
    "/stats(/prometheus)?",
    "/clusters",
    "/listeners",
    "/reopen_logs",
)
DRAINING = ("/healthcheck/fail", "/drain_listeners")
_NAMES_OF_SCOPES = r"/config_dump\?resource=dynamic_scoped_route_configs"


def _admin_paths(drain_key: str) -> list[dict[str, Any]]:
    """Every user of the machine reaches the port: it tells no secrets and ends nothing.

    A whole configuration has what pipelines check tokens by, and the hashes of keys. What drains
    Envoy is found by who has the key, which is its query.
    """
    regexes = [*(rf"{path}(\?.*)?" for path in _ADMIN_PATHS), _NAMES_OF_SCOPES]
    draining = [{"exact": f"{path}?{drain_key}"} for path in DRAINING if drain_key]
    return [*({"safe_regex": {"regex": regex}} for regex in regexes), *draining]


def _static_resources(wanted: Bootstrap) -> dict[str, Any]:
    clusters = [manager_cluster([wanted.ads, *wanted.more], wanted.managers, wanted.identity)]
    listeners = [_egress_listener(wanted, wanted.egress)] if wanted.egress else []
    if wanted.metrics:
        clusters.append(_admin_cluster(wanted.admin))
        listeners.append(_metrics_listener(wanted.metrics))
    return {"clusters": clusters, "listeners": listeners}


def _admin_cluster(where: Address) -> dict[str, Any]:
    return {"name": "admin", "type": "STATIC", "load_assignment": load_assignment([where], "admin")}


def _metrics_listener(where: Address) -> dict[str, Any]:
    """One path of the admin API."""
    route = {
        "match": {
            "path": METRICS_PATH,
            "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
        },
        "route": {"cluster": "admin", "prefix_rewrite": "/stats/prometheus?usedonly"},
    }
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": METRICS,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"name": METRICS, "address": socket_address(where), "filter_chains": [chain], **_ALWAYS}


def _node(wanted: Bootstrap) -> dict[str, Any]:
    tls = str(wanted.tls) if wanted.tls else ""
    metrics = str(wanted.metrics) if wanted.metrics else ""
    node = Node(wanted.node_id, "hydro", wanted.role, tls, metrics)
    return {"id": node.id, "cluster": node.cluster, "metadata": node.metadata}


def _egress_listener(wanted: Bootstrap, where: Address) -> dict[str, Any]:
    """Takes the calls of the sidecar's process; its routes come from the manager."""
    node = Node(wanted.node_id, role=wanted.role)
    router = {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}
    http2 = {
        "initial_stream_window_size": STREAM_WINDOW_BYTES,
        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
    }
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "egress",
        "rds": {"route_config_name": node.egress, "config_source": _ADS},
        "http_filters": [{"name": "router", "typed_config": router}],
        "stream_idle_timeout": "0s",
        "http2_protocol_options": http2,
    }
    return {
        "name": "egress",
        "address": socket_address(where),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _internal_listener() -> dict[str, Any]:
    config = {"@type": f"{EXTENSIONS}.bootstrap.internal_listener.v3.InternalListener"}
    return {"name": "envoy.bootstrap.internal_listener", "typed_config": config}


def _spans_soon() -> dict[str, Any]:
    """Who looks for the trace of a request does not wait for it 5 s."""
    flush = {f"tracing.{name}.flush_interval_ms": 1000 for name in ("zipkin", "opentelemetry")}
    return {"name": "spans", "static_layer": flush}


def _stage_tags() -> list[dict[str, str]]:
    """Metrics with labels, instead of metrics a stage; `routes` makes the names."""
    start, skip = r"^filter_chain\.ext_proc\.", r"[^|]*\|"
    return [
        {"tag_name": "hydro_pipeline", "regex": rf"{start}(([^|]*)\|)"},
        {"tag_name": "hydro_variant", "regex": rf"{start}{skip}(([^|]*)\|)"},
        {"tag_name": "hydro_stage", "regex": rf"{start}{skip}{skip}(\d+\|([^.]+)\.)"},
    ]


def _histogram_buckets() -> dict[str, Any]:
    """In milliseconds; the same at each pipeline, so not many."""
    return {"match": {"prefix": "hydro."}, "buckets": list(REQUEST_MS)}


def _runtime_layers(wanted: Bootstrap) -> list[dict[str, Any]]:
    gateway = int(wanted.max_connections * connections.GATEWAY_SHARE)
    limit = {f"envoy.resource_limits.listener.{GATEWAY}.connection_limit": gateway}
    connection_layer = {"name": "connections", "static_layer": limit}
    return [_spans_soon(), connection_layer, {"name": "admin", "admin_layer": {}}]


def _connection_limit(wanted: Bootstrap) -> dict[str, Any]:
    config = {
        "@type": f"{_MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": wanted.max_connections,
    }
    name = "envoy.resource_monitors.global_downstream_max_connections"
    return {"name": name, "typed_config": config}
