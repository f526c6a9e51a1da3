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
from hydro_services.client.gateway import NDJSON, Gateway
from hydro_services.client.services import Manager, Repository

__all__ = [
    "CALL_S",
    "CHANGE_S",
    "CONNECT_S",
    "NDJSON",
    "Gateway",
    "Manager",
    "Metadata",
    "Repository",
    "bearer_metadata",
    "connect_channel",
    "convert_errors",
]
