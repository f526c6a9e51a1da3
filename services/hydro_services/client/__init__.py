"""Clients of the manager, the repository and the gateway, with deadlines and typed errors."""

from hydro_services.client.channel import (
    CALL_S,
    CHANGE_S,
    CONNECT_S,
    Metadata,
    bearer_metadata,
    connect_channel,
    convert_errors,
)
from hydro_services.client.gateway import NDJSON, GatewayClient
from hydro_services.client.services import ManagerClient, RepositoryClient

__all__ = [
    "CALL_S",
    "CHANGE_S",
    "CONNECT_S",
    "NDJSON",
    "GatewayClient",
    "ManagerClient",
    "Metadata",
    "RepositoryClient",
    "bearer_metadata",
    "connect_channel",
    "convert_errors",
]
