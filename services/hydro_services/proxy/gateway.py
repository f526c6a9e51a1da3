"""An Envoy that takes its configuration from a manager: the gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from hydro_envoy.address import ANY_PORT, Address
from hydro_envoy.errors import EnvoyError, EnvoyFailed
from hydro_envoy.nodes import GATEWAY, Node
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_envoy.proxy.find_envoy import find_envoy
from hydro_envoy.proxy.process import Envoy
from hydro_services import default_addresses
from hydro_services.consul.registry import Registry, needs_consul
from hydro_services.errors import FailedPrecondition, InvalidArgument
from hydro_services.proxy.addresses import claim_listener
from hydro_services.security import credential, private_files

CONTENTS = ("admin.address", "bootstrap.json", "identity.pem", "managers.*", "tls")
"""Of the folder of an Envoy."""


@dataclass(frozen=True, slots=True)
class Config:
    """The options of a gateway."""

    xds: tuple[Address, ...] = (default_addresses.XDS,)
    """The managers' gRPC."""
    registry: Registry | None = None
    """Has the managers, instead of `xds`."""
    id: str = "gateway"
    """Its name among Envoys."""
    tls_cert: Path | None = None
    """The certificate for clients, PEM, with its chain; None: clear text."""
    tls_key: Path | None = None
    join: Path | None = None
    """The invitation to a mesh with sidecars, see `hydro invite`; None: there are none."""
    token_file: Path | None = None
    """Has the token that the manager wants to see, where there is no invitation; None: none."""
    data: Path = Path(".hydro/gateway")
    """Where its bootstrap lies; one folder for each Envoy."""
    admin: Address = ANY_PORT
    """Of its admin API; port 0 takes a free one."""
    metrics: Address = ANY_PORT
    """Of its /metrics; port 0 takes a free one."""


async def check_envoy() -> None:
    """Makes sure that an Envoy can be run here.

    Raises:
        FailedPrecondition: Envoy is not there or is too old.
    """
    try:
        await find_envoy()
    except EnvoyError as error:
        raise FailedPrecondition(str(error)) from error


async def run(config: Config) -> None:
    """Runs Envoy until cancelled; calls under way may then finish.

    Raises:
        FailedPrecondition: Envoy is not there, is too old, or ended; the folder is another user's.
    """
    private_files.make_private_folder(config.data, CONTENTS)
    ads, *more = config.xds
    admin, metrics = (claim_listener(name, getattr(config, name)) for name in ("admin", "metrics"))
    token = await read_token(config.token_file, config.join)
    wanted = Bootstrap(config.id, GATEWAY, ads, admin, metrics, token=token, more=tuple(more))
    async with _server_secret(config) as tls:
        await run_with_identity(
            replace(wanted, tls=tls), config.join, config.xds, config.data, config.registry
        )


def _server_secret(config: Config) -> AbstractAsyncContextManager[Path | None]:
    if config.tls_cert and config.tls_key:
        from hydro_services.proxy import serving_tls

        return serving_tls.keep_server_secret(config.tls_cert, config.tls_key, config.data)
    if config.tls_cert or config.tls_key:
        raise InvalidArgument("there is one of --tls-cert and --tls-key, want both or none")
    return contextlib.nullcontext()


async def read_token(token_file: Path | None, invitation: Path | None) -> str:
    """The token that an Envoy shows the manager; empty where it has a certificate to show.

    Waits for the file.

    Raises:
        FailedPrecondition: it has no token.
    """
    return "" if invitation or token_file is None else await credential.wait_for_token(token_file)


async def run_with_identity(
    wanted: Bootstrap,
    invitation: Path | None,
    managers: Sequence[Address],
    folder: Path,
    registry: Registry | None = None,
    threads: int | None = None,
) -> None:
    """Runs an Envoy, with an identity where there is an invitation; see `run`."""
    if not invitation:
        return await run_envoy(wanted, folder, registry, threads)
    from hydro_services.proxy.enrol import keep_enrolled
    from hydro_services.security.certificates import Identity

    who = Identity.parse(Node(wanted.node_id, role=wanted.role).identity)
    async with keep_enrolled(invitation, who, managers, folder) as files:
        await run_envoy(replace(wanted, identity=files), folder, registry, threads)


async def run_envoy(
    wanted: Bootstrap, folder: Path, registry: Registry | None = None, threads: int | None = None
) -> None:
    """Runs an Envoy; see `run`."""
    try:
        async with _managers_file(registry, folder) as managers:
            await _run_process(replace(wanted, managers=managers), folder, threads)
    except EnvoyError as error:
        raise FailedPrecondition(str(error)) from error


async def _run_process(wanted: Bootstrap, folder: Path, threads: int | None) -> None:
    async with Envoy(await find_envoy(), wanted, folder, concurrency=threads) as envoy:
        try:
            code = await envoy.wait()
        except asyncio.CancelledError:
            await envoy.drain()
            raise
        raise EnvoyFailed(f"envoy ended with {code}")


def _managers_file(
    registry: Registry | None, folder: Path
) -> AbstractAsyncContextManager[Path | None]:
    if not registry:
        return contextlib.nullcontext()
    needs_consul()

    from hydro_services.proxy.managers import keep_managers_file

    return keep_managers_file(registry, folder)
