"""How `hydro deploy` and `hydro undeploy` find the running mesh and call its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hydro_envoy.address import Address
from hydro_services.cli.command import Option
from hydro_services.cli.options import (
    ADMIN_KEY_OF_MESH,
    GATEWAY_CALL,
    MANAGER_CALL,
    REPOSITORY_CALL,
)
from hydro_services.deployment.request import Addresses
from hydro_services.reachability import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshOptions:
    models: Path | None
    trusted: Path | None
    manager: Address
    repository: Address
    gateway: Address
    admin_key: str = field(repr=False)
    api_key: str = field(repr=False)
    tls_ca: Tls | None
    json: bool

    @property
    def addresses(self) -> Addresses:
        return Addresses(
            self.manager,
            self.repository,
            self.gateway,
            self.admin_key,
            self.api_key,
            self.tls_ca,
        )


MESH_CALL = (
    Option(
        "--models",
        "the repository's folder of models",
        Path,
        "DIR",
        shown_default="that of the running mesh",
        variable="",
    ),
    Option(
        "--trusted",
        "the list of digests of models that may run code",
        Path,
        "FILE",
        shown_default="that of the running mesh",
        variable="",
    ),
    MANAGER_CALL[0],
    REPOSITORY_CALL[0],
    *GATEWAY_CALL,
    ADMIN_KEY_OF_MESH,
)
