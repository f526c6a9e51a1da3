"""The Envoy beside one process, by which it reaches the other machines and they reach it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hydro_envoy.nodes import SIDECAR
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_services.proxy.addresses import claimed, endpoints, listener
from hydro_services.proxy.gateway import CONTENTS, join, shown
from hydro_services.security import private_files

THREADS = 1
"""Of its Envoy: it serves one process."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a sidecar is told. Addresses are host:port."""

    process: str
    """`<service>/<instance>`, as the process registers."""
    egress: str
    """Where the process reaches others, on loopback."""
    xds: str = "127.0.0.1:8082"
    """Of the manager; for the manager's own sidecar: of its process, for others: of its sidecar.
    More managers' after commas."""
    join: Path | None = None
    """The invitation, see `hydro invite`; None: it stands beside the manager."""
    token_file: Path | None = None
    """Has the token that the manager wants to see of the sidecar beside it; None: none."""
    data: Path = Path(".hydro/sidecar")
    """Where its bootstrap lies; one folder for each Envoy."""
    admin: str = "127.0.0.1:0"
    """Of its admin API; port 0 takes a free one."""
    metrics: str = "127.0.0.1:0"
    """Of its /metrics; port 0 takes a free one."""
    registry: str = ""
    """`consul://…`: has the managers, instead of `xds`; not for the manager's own sidecar."""


async def run(config: Config) -> None:
    """Runs Envoy until cancelled; calls under way may then finish.

    Raises:
        FailedPrecondition: Envoy is not there, is too old, or ended; the folder is another user's.
    """
    private_files.make_private_folder(config.data, CONTENTS)
    ads, *more = endpoints(config.xds)
    wanted = Bootstrap(
        config.process,
        SIDECAR,
        ads,
        claimed("admin", config.admin),
        claimed("metrics", config.metrics),
        listener(config.egress),
        token=await shown(config.token_file, config.join),
        more=tuple(more),
    )
    await join(wanted, config.join, config.xds, config.data, config.registry, THREADS)
