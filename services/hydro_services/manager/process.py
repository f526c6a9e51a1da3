"""The manager's process: one gRPC server with its services and those that Envoy asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydro.manager.v1 import manager_service_pb2, registry_service_pb2
from hydro.repository.v1 import repository_service_pb2
from hydro.serving.v1 import prediction_service_pb2
from hydro_envoy.address import ANY_PORT, Address
from hydro_envoy.mesh import (
    MAX_MESSAGE_BYTES,
    ApiListener,
    Gateway,
    Mesh,
    Sidecar,
    Telemetry,
    TimeLimits,
    Tracing,
)
from hydro_envoy.nodes import MANAGER as MANAGER_SERVICE
from hydro_envoy.policy import Access
from hydro_envoy.resources.builder import Builder
from hydro_envoy.resources.descriptors import descriptor_set
from hydro_envoy.snapshot import MANAGER_CLUSTER
from hydro_envoy.xds.credential import traffic_token
from hydro_envoy.xds.hub import Hub
from hydro_services import default_addresses, incarnation, metrics, rpc
from hydro_services.consul.registry import Registry, needs_consul
from hydro_services.errors import FailedPrecondition, InvalidArgument, NewerVersion
from hydro_services.manager.api.server import MANAGER, serve_api
from hydro_services.manager.api.servicer import ManagerServicer, RegistryServicer
from hydro_services.manager.domain import state, transitions
from hydro_services.manager.domain.leases import LEASE_S
from hydro_services.manager.domain.sidecars import ProcessRoute, manager_sidecar
from hydro_services.manager.domain.state import Endpoint, Spec, State, StoredPipeline
from hydro_services.manager.engine import api_key_watcher, repository_watch
from hydro_services.manager.engine.reconciler import Reconciler
from hydro_services.manager.engine.store import Store
from hydro_services.manager.rollout.deployer import Deployer
from hydro_services.manager.rollout.executor import Rollout, RolloutExecutor, start_local
from hydro_services.manager.telemetry.metrics import metrics_reader
from hydro_services.manager.telemetry.scrape_targets import TargetsFile, list_targets
from hydro_services.security import admin, credential, keys, keystore
from hydro_services.security.wall_clock import ClockJumps

if TYPE_CHECKING:
    from hydro_services.manager.api.certificates import Certificates

logger = logging.getLogger(__name__)

REPOSITORY = "hydro.repository.v1.RepositoryService"
_STDOUT = {"-": "/dev/stdout"}


@dataclass(frozen=True, slots=True)
class Config:
    """Where the manager listens, and what Envoy is to offer."""

    data: Path
    """The folder for what survives; made if need be."""
    listen: Address = default_addresses.XDS
    """gRPC: the manager's services, the registry, and xDS."""
    gateway: Address = default_addresses.GATEWAY
    manager_api: Address = default_addresses.MANAGER
    """The manager's API over HTTP/JSON and gRPC, by Envoy."""
    repository_api: Address = default_addresses.REPOSITORY
    max_message_bytes: int = MAX_MESSAGE_BYTES
    lease_s: float = LEASE_S
    limit_s: float = 20.0
    """How long creating a pipeline may take."""
    sidecar: Address | None = None
    """Where its sidecar takes what is for it from other machines; None: it has none."""
    egress: Address | None = None
    """Where the sidecar takes its calls to processes, on loopback."""
    registry: Registry | None = None
    """Consul; None: this manager keeps the registry and is the only one."""
    ca: Path | None = None
    """The folder of the mesh's authority, for a manager with a sidecar; None: `ca` in `data`."""
    certificate_ttl_s: float = 3600.0
    """How long certificates hold; new ones come after half of it."""
    instance: str = ""
    """Its name among managers, the same after a restart; empty: the host's name and the port."""
    patience_s: float = 2.0
    """How long creating a pipeline waits for a service or repository that has not registered."""
    metrics: Address = ANY_PORT
    """For Prometheus; port 0 takes a free one."""
    zipkin: Address | None = None
    """The Zipkin server that takes Envoy's spans."""
    otlp: Address | None = None
    """The OpenTelemetry collector that takes Envoy's spans, by gRPC."""
    trace_percent: float = 100.0
    """Of the requests."""
    header_limit_s: float = 10.0
    """How long Envoy waits for clients: see `TimeLimits`."""
    body_limit_s: float = 30.0
    idle_limit_s: float = 300.0
    access_log: str = ""
    """The file, on Envoy's machine, that gets a line a request; "-": its stdout; empty: none."""
    keys: str = ""
    """Where API keys are: a file, or `consul://…`; empty: there are none."""
    access: Literal["anyone", "keys"] = "anyone"
    """Who may call pipelines that do not say it: anyone, or who has an API key."""
    admin_key: str = field(default="", repr=False)
    """What calls of the APIs of manager and repository have to have; empty: nothing."""
    home: str = ""
    """Of a mesh that `hydro up` runs: the URL of the folder of all its state."""
    token_file: Path | None = None
    """Has the token that Envoys and processes of this machine have to show; made if need be.
    None: `token` in `data`."""


async def run(config: Config) -> None:
    """Serves until cancelled.

    Raises:
        errors.Unavailable: the address cannot be bound.
        errors.FailedPrecondition: what was stored cannot be read; there is no admin key, and other
            machines could change the mesh.
        errors.NewerVersion: what was stored, here or in Consul, is of a newer version.
        errors.InvalidArgument: a name to listen at is not known, or there are no API keys.
        errors.NotFound: there is no file of API keys.
    """
    try:
        async with serve(config) as served:
            await served.server.wait_for_termination()
    except BaseExceptionGroup as group:
        if newer := group.subgroup(NewerVersion):
            raise _innermost_error(newer) from None
        raise


def _innermost_error(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextlib.asynccontextmanager
async def serve(config: Config) -> AsyncIterator[rpc.RunningServer]:
    """Serves until the context ends; what survived the last time is published before that.

    With Consul it first waits for that to answer; what survived has to do where it does not.

    Raises:
        As `run`.
    """
    entrances = (config.listen, config.manager_api, config.repository_api, config.sidecar)
    admin.check_addresses(filter(None, entrances), config.admin_key)
    certificates = _open_certificates(config)
    key_changes = keystore.watch_keys(config.keys) if config.keys else None
    api_keys = api_key_watcher.mesh_api_keys(await anext(key_changes)) if key_changes else None
    access = _default_access(config)
    with (
        contextlib.closing(Store(config.data / "manager.sqlite")) as store,
        contextlib.closing(Builder(config.data / "envoy")) as builder,
        contextlib.closing(Hub(is_alone=not config.registry, issuer=certificates)) as hub,
    ):
        token = credential.make_token(config.token_file or config.data / credential.TOKEN_FILE)
        base = base_mesh(config, token)
        clock = asyncio.get_running_loop().time
        route = ProcessRoute(config.egress if config.sidecar else None, token)

        def make(initial: State, **more: Any) -> Reconciler:
            known = replace(initial, api_keys=api_keys, access=access)
            return Reconciler(known, base, hub, builder, store, clock, route, **more)

        async with (
            _start_rollout(config, make, *store.load(), store.load_pending()) as (
                reconciler,
                executor,
                register,
                run_executor,
            ),
            metrics.serve_metrics(config.metrics, metrics_reader(reconciler)) as scraped,
            _serve_api(config, token, reconciler, executor, certificates, scraped) as served,
            asyncio.TaskGroup() as tasks,
        ):
            file = TargetsFile(config.data / "targets.json")
            loops = [
                tasks.create_task(reconciler.run()),
                tasks.create_task(repository_watch.follow_repository(reconciler, route)),
                tasks.create_task(_wait_for(run_executor)),
                tasks.create_task(file.keep_written(partial(list_targets, reconciler, scraped))),
            ]
            if certificates:
                loops.append(tasks.create_task(_renew_after_jumps(hub)))
            if key_changes:
                loops.append(
                    tasks.create_task(api_key_watcher.follow_api_keys(key_changes, reconciler))
                )
            async with register(served):
                logger.info("manager serves", extra={"address": str(served.address)})
                yield served
            for loop in loops:
                loop.cancel()


async def _wait_for(run_executor: Callable[[], Awaitable[None]]) -> None:
    await run_executor()


async def _renew_after_jumps(hub: Hub) -> None:
    """Gives Envoys other certificates where the clock jumps, by which those they have are valid."""
    jumps = ClockJumps()
    while True:
        jumped_s = round(await jumps.next())
        logger.warning("the clock jumped, new certificates", extra={"jumped_s": jumped_s})
        hub.renew()


def _start_rollout(
    config: Config,
    make: Callable[..., Reconciler],
    pipelines: list[StoredPipeline],
    endpoints: list[tuple[Endpoint, frozenset[str]]],
    pending: list[Spec],
) -> AbstractAsyncContextManager[Rollout]:
    """Where pipelines and endpoints are kept: here, or in Consul."""
    if not config.registry:
        return start_local(make, pipelines, endpoints, config.lease_s, pending)
    needs_consul()
    from hydro_services.manager.cluster.join import join_cluster

    initial = transitions.hold_publication(
        transitions.restore_state(pipelines, endpoints, None, pending)
    )
    me = manager_service_pb2.Endpoint(
        service=MANAGER_SERVICE,
        instance=_instance_name(config),
        incarnation=incarnation.new(),
        sidecar_address=str(config.sidecar or ""),
    )
    return join_cluster(make, initial, config.registry, me, config.limit_s)


def _serve_api(
    config: Config,
    token: str,
    reconciler: Reconciler,
    executor: RolloutExecutor,
    certificates: Certificates | None,
    scraped: Address,
) -> AbstractAsyncContextManager[rpc.RunningServer]:
    deployer = Deployer(reconciler, executor, config.limit_s, config.patience_s)
    return serve_api(
        config.listen,
        ManagerServicer(reconciler, deployer, scraped, config.home),
        RegistryServicer(reconciler, config.lease_s, config.registry),
        reconciler.hub,
        certificates,
        own=f"{MANAGER_SERVICE}/{_instance_name(config)}",
        token=token,
        admin_key=config.admin_key,
    )


def _default_access(config: Config) -> Access | None:
    if config.access == "anyone":
        return None
    if not config.keys:
        raise InvalidArgument("pipelines are to need API keys, but there are none; give --keys")
    return Access(callers=())


def base_mesh(config: Config, token: str = "") -> Mesh:
    """The mesh without backends and pipelines; with a token, which processes want to see.

    Raises:
        InvalidArgument: a name to listen at is not known.
    """
    serving = descriptor_set([prediction_service_pb2.DESCRIPTOR])
    managing = descriptor_set([manager_service_pb2.DESCRIPTOR, registry_service_pb2.DESCRIPTOR])
    storing = descriptor_set([repository_service_pb2.DESCRIPTOR])
    # Envoy takes no names to listen at.
    gateway, manager_api, repository_api = map(
        rpc.resolve_address, (config.gateway, config.manager_api, config.repository_api)
    )
    key = keys.hash_key(keys.check_admin_key(config.admin_key)) if config.admin_key else ""
    shown = "" if config.sidecar else traffic_token(token)
    # Who has to show a key is no web page; where others come in, they come by other names.
    is_open = gateway.is_loopback and not (key or config.keys)
    manager = ApiListener(
        "manager", *manager_api, MANAGER_CLUSTER, (MANAGER,), managing, key, not key
    )
    models = ApiListener(
        "repository", *repository_api, state.REPOSITORY, (REPOSITORY,), storing, key, not key, shown
    )
    access_log = _STDOUT.get(config.access_log, config.access_log)
    return Mesh(
        gateway=Gateway(*gateway, serving, config.max_message_bytes, is_open),
        api_listeners=(manager, models),
        time_limits=TimeLimits(config.header_limit_s, config.body_limit_s, config.idle_limit_s),
        token=shown,
        telemetry=Telemetry(_build_tracing(config), access_log),
        sidecars=(_own_sidecar(config, config.sidecar, token),) if config.sidecar else (),
    )


def _own_sidecar(config: Config, ingress: Address, token: str) -> Sidecar:
    at, listen = rpc.resolve_address(ingress), rpc.resolve_address(config.listen)
    return manager_sidecar(_instance_name(config), at, listen, token)


def _open_certificates(config: Config) -> Certificates | None:
    """For a manager with a sidecar; one without may be reached from this machine alone.

    Raises:
        FailedPrecondition: it would be reached from others without TLS, or the authority cannot
            be read.
    """
    if config.sidecar:
        from hydro_services.manager.api.certificates import Certificates

        ttl = timedelta(seconds=config.certificate_ttl_s)
        return Certificates.of(config.ca or config.data / "ca", ttl)
    if config.listen.is_loopback:
        return None
    way_out = (
        f"run it as --xds 127.0.0.1:8072 --sidecar {config.listen}, and `hydro sidecar` beside it;"
        " see docs/operations.md"
    )
    raise FailedPrecondition(
        f"--xds is {config.listen}, which other machines route without TLS; {way_out}"
    )


def _instance_name(config: Config) -> str:
    return config.instance or f"{socket.gethostname()}-{config.listen.port}"


def _build_tracing(config: Config) -> Tracing | None:
    if config.zipkin and config.otlp:
        raise InvalidArgument("spans go to zipkin or by otlp, got both; name one")
    if collector := config.zipkin or config.otlp:
        provider: Literal["zipkin", "otlp"] = "zipkin" if config.zipkin else "otlp"
        return Tracing(provider, collector, config.trace_percent)
    return None
