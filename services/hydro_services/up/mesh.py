"""Runs the whole mesh on this machine until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib.util
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from hydro_envoy.address import Address
from hydro_envoy.nodes import GATEWAY, MANAGER
from hydro_services import linux, registration
from hydro_services.errors import InvalidArgument
from hydro_services.free_ports import free_ports
from hydro_services.proxy import gateway, sidecar
from hydro_services.security import admin, credential, keys, keystore
from hydro_services.security.trusted_models import read_trusted
from hydro_services.up import data_folder, home, layout, process, ready
from hydro_services.up.layout import Options, ProcessSidecar
from hydro_services.up.process import Program
from hydro_services.up.signals import on_stop
from hydro_services.up.supervisor import Part, supervise
from hydro_services.up.watchdog import Watchdog

logger = logging.getLogger(__name__)

INVITED = timedelta(days=1)
"""For a part that is started again when its certificate has lapsed, and all is started anew."""
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Runtimes evaluate in workers of a declared number; a pool below each would fight over cores."""

REGISTRY_S = 10.0
"""How long Consul may take to answer, as when it starts at the same time."""


@contextlib.asynccontextmanager
async def serve_mesh(options: Options, tell: Callable[[str], None]) -> AsyncIterator[Options]:
    """Starts the mesh; yields the options with the ports in use once it serves; drains at the end.

    Args:
        options: what is wanted; port 0 takes a free one.
        tell: called with a line of progress for a person.

    Raises:
        errors.Unavailable: the data folder or a port is taken, or Consul does not answer; nothing
            was started.
        errors.InvalidArgument: a runtime service is not known or lacks its library; there is no
            folder of models; the file of trusted digests or of API keys cannot be read; the
            host is not known.
        errors.NotFound: there is no file of API keys.
        errors.FailedPrecondition: there is no Envoy, or it is too old; there is no admin key, and
            other machines could change the mesh.
        errors.NotInTime: a part does not get ready.
    """
    start = time.monotonic()
    options = dataclasses.replace(options, host=_resolve_host(options.host))
    await _check_options(options)
    services, notes = layout.choose_runtimes(options.runtimes, is_installed)
    for note in notes:
        tell(f"left out: {note}")
    with data_folder.lock_data_folder(options.data):
        options = _claim_ports(options)
        credential.make_token(options.token)
        options.trusted_file.touch()
        home.write(options.data, options.models_folder, options.trusted_file)
        processes = [
            f"{service.name}/{service.name}-{number + 1}"
            for service, count in services
            for number in range(count)
        ]
        instances = [each.partition("/")[2] for each in (layout.REPOSITORY, *processes)]
        async with _run_parts(options, processes) as manager:
            async for instance in ready.wait_instances(manager, instances, options.admin_key):
                tell(f"{time.monotonic() - start:4.1f} s  {instance} is ready")
            apis = {name: port for name, port in options.ports.items() if name in ready.PATHS}
            host = Address(options.host, 0).reachable.host
            await ready.wait_public_ports(host, apis, options.admin_key, bool(options.tls_cert))
            tell(f"{time.monotonic() - start:4.1f} s  the mesh serves")
            try:
                yield options
            finally:
                tell("stopping: no new requests, those under way finish")


def _resolve_host(host: str) -> str:
    """An IP address: Envoy takes no names to listen at."""
    try:
        return Address(host, 0).resolved().host
    except ValueError as error:
        raise InvalidArgument(f"cannot listen at --host {host}: {error}") from error


async def _check_options(options: Options) -> None:
    """What would otherwise show only as a part that dies again and again."""
    for root in options.models:
        if fault := root.find_fault(is_installed):
            raise InvalidArgument(fault)
    read_trusted(options.trusted)
    await _check_access(options)
    await gateway.check_envoy()
    if options.registry:
        await registration.check_registry(options.registry, REGISTRY_S)


async def _check_access(options: Options) -> None:
    apis = (options.at("manager"), options.at("repository"))
    admin.check_addresses(apis, options.admin_key)
    if options.admin_key:
        keys.check_admin_key(options.admin_key)
    if options.keys:
        await keystore.read_keys(options.keys)
    elif options.access == "keys":
        raise InvalidArgument("--access keys needs --keys FILE; see `hydro keys create --help`")


@contextlib.asynccontextmanager
async def _run_parts(options: Options, processes: list[str]) -> AsyncIterator[Address]:
    """Envoy stops first, so that what is under way finishes; the manager, whom all ask, last.

    Yields:
        Where the manager's process listens.
    """
    beside = layout.plan_sidecars(options, (layout.REPOSITORY, *processes), _find_free_ports)
    repository = layout.repository_program(options, beside.get(layout.REPOSITORY))
    runtimes = [layout.runtime_program(options, each, beside.get(each)) for each in processes]
    os.environ.update({name: os.environ.get(name, "1") for name in THREADS})
    linux.adopt_orphans()
    process.preload_modules(layout.preloaded_modules())
    manager = layout.manager_program(options, beside.get(layout.MANAGER))
    listen: Address = manager.config["listen"]
    watch = Watchdog(listen, options.admin_key, manager.name)
    groups = (
        [_gateway_part(options)],
        [_program_part(program, watch) for program in (repository, *runtimes)],
        [
            _sidecar_part(options, each)
            for each in beside.values()
            if each.process != layout.MANAGER
        ],
        [_program_part(manager, watch)],
        [
            _sidecar_part(options, each)
            for each in beside.values()
            if each.process == layout.MANAGER
        ],
    )
    async with supervise(groups), watch.run():
        yield listen


def _program_part(program: Program, watch: Watchdog) -> Part:
    return Part(program.name, functools.partial(process.serve_program, program, watch.watch_part))


def _gateway_part(options: Options) -> Part:
    data = options.data / "gateway"
    join = _write_invitation(options, GATEWAY, data) if options.sidecars else None
    config = gateway.Config(
        xds=(options.xds,),
        registry=options.registry,  # which may know more managers than ours
        data=data,
        token_file=options.token,
        join=join,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
    )
    return Part("gateway", functools.partial(gateway.run, config))


def _write_invitation(options: Options, service: str, folder: Path) -> Path:
    from hydro_services.security.certificates import Authority
    from hydro_services.up.invitations import invite

    authority = Authority.open(options.data / "manager" / "ca")
    return invite(authority, service, INVITED, folder / "invitation.json")


def _sidecar_part(options: Options, beside: ProcessSidecar) -> Part:
    data = options.data / beside.name
    service = beside.process.partition("/")[0]
    join = None if service == MANAGER else _write_invitation(options, service, data)
    xds = (beside.xds,)
    config = sidecar.Config(beside.process, beside.egress, xds, join, options.token, data)
    return Part(beside.name, functools.partial(sidecar.run, config))


def _find_free_ports(names: Sequence[str]) -> Mapping[str, int]:
    return free_ports(layout.INSIDE, dict.fromkeys(names, 0))


def _claim_ports(options: Options) -> Options:
    """With the ports that are ours."""
    ports = free_ports(options.host, options.ports)
    return dataclasses.replace(
        options,
        manager_port=ports["manager"],
        gateway_port=ports["gateway"],
        repository_port=ports["repository"],
        xds_port=ports["xds"],
    )


def is_installed(module: str) -> bool:
    """Whether a package of this name can be imported."""
    return importlib.util.find_spec(module) is not None


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Set by the first Ctrl-C or SIGTERM; see `on_stop`."""
    stop = asyncio.Event()
    with on_stop(stop.set):
        yield stop
