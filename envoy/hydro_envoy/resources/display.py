"""Resources as text for people. Imports what builds resources, a second's work: import it late."""

from __future__ import annotations

import json

from betterproto2 import Casing
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration, ScopedRouteConfiguration

from hydro_envoy.resources import (  # noqa: F401  (they know the messages that stand in Any fields)
    internal_listeners,
    listeners,
)
from hydro_envoy.snapshot import Resource, ResourceType

_MESSAGES: dict[
    ResourceType,
    type[
        Cluster
        | ClusterLoadAssignment
        | Listener
        | TypedExtensionConfig
        | ScopedRouteConfiguration
        | RouteConfiguration
    ],
] = {
    ResourceType.CLUSTER: Cluster,
    ResourceType.ENDPOINTS: ClusterLoadAssignment,
    ResourceType.LISTENER: Listener,
    ResourceType.FILTER: TypedExtensionConfig,
    ResourceType.SCOPE: ScopedRouteConfiguration,
    ResourceType.ROUTES: RouteConfiguration,
}


def to_json(resource: Resource | None) -> str:
    """Protobuf JSON, indented, with the fields as Envoy's reference names them; "" for None."""
    if resource is None:
        return ""
    message = _MESSAGES[resource.type].parse(resource.body)
    return json.dumps(message.to_dict(casing=Casing.SNAKE), indent=2, sort_keys=True)
