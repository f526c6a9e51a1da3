"""The Envoy beside one process, by which it reaches the other machines and they reach it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hydro_envoy.address import ANY_PORT, Address
from hydro_envoy.nodes import SIDECAR
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_services import default_addresses
from hydro_services.consul.registry import Registry
from hydro_services.proxy.addresses import claim_listener
from hydro_services.proxy.gateway import CONTENTS, read_token, run_with_identity
from hydro_services.rpc import resolve_address
from hydro_services.security import private_files

THREADS = 1
"""Of its Envoy: it serves one process."""


@dataclass(frozen=True, slots=True)
class Config:
    """The options of a sidecar."""

    process: str
    """`<service>/<instance>`, as the process registers."""
    egress: Address
    """Where the process reaches others, on loopback."""
    xds: tuple[Address, ...] = (default_addresses.XDS,)
    """Of the managers: for a manager's own sidecar of its process, for others of its sidecar."""
    join: Path | None = None
    """The invitation, see `hydro invite`; None: it stands beside the manager."""
    token_file: Path | None = None
    """Has the token that the manager wants to see of the sidecar beside it; None: none."""
    data: Path = Path(".hydro/sidecar")
    """Where its bootstrap lies; one folder for each Envoy."""
    admin: Address = ANY_PORT
    """Of its admin API; port 0 takes a free one."""
    metrics: Address = ANY_PORT
    """Of its /metrics; port 0 takes a free one."""
    registry: Registry | None = None
    """Has the managers, instead of `xds`; not for the manager's own sidecar."""


async def run(config: Config) -> None:
    """Runs Envoy until cancelled; calls under way may then finish.

    Raises:
        FailedPrecondition: Envoy is not there, is too old, or ended; the folder is another user's.
    """
    private_files.make_private_folder(config.data, CONTENTS)
    ads, *more = config.xds
    wanted = Bootstrap(
        config.process,
        SIDECAR,
        ads,
        claim_listener("admin", config.admin),
        claim_listener("metrics", config.metrics),
        resolve_address(config.egress),
        token=await read_token(config.token_file, config.join),
        more=tuple(more),
    )
    await run_with_identity(wanted, config.join, config.xds, config.data, config.registry, THREADS)
