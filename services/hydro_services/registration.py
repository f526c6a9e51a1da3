"""Keeps an endpoint registered for as long as its process serves: with a manager, or in Consul."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import grpc.aio

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.manager.v1 import registry_service_pb2_grpc as registry_grpc
from hydro_envoy.address import Address
from hydro_services import errors, incarnation, rpc
from hydro_services.consul.registry import Registry, needs_consul
from hydro_services.security import credential

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 0.05
MAX_DELAY_S = 0.5
CALL_S = 1.0
"""How long a single call may take."""


def keep_registered(
    registry: Address | Registry, endpoint: manager_pb.Endpoint, token_file: Path | None = None
) -> AbstractAsyncContextManager[None]:
    """Registers the endpoint and sees that it stays so, in the background, until the context ends.

    A registry that is away or starts again is asked until it answers; the context neither waits for
    it nor fails because of it. At the end the endpoint is deregistered, so that no new request
    comes in; open calls go on. A registry that does not answer then forgets it by itself.

    Args:
        registry: the manager's gRPC, or Consul.
        endpoint: what this process offers.
        token_file: has the token that the manager wants to see, as soon as it is there; None: the
            manager is told by a sidecar who calls.

    Raises:
        errors.FailedPrecondition: the library for Consul is not installed.
    """
    if isinstance(registry, Address):
        return _keep_lease(registry, endpoint, token_file)
    needs_consul()
    from hydro_services.consul import registration

    return registration.keep_registered(registry, endpoint)


def describe_process(
    service: str,
    instance: str,
    address: Address,
    *,
    traffic: Address | None = None,
    sidecar: Address | None = None,
    metrics: Address | None = None,
    formats: Sequence[str] = (),
) -> manager_pb.Endpoint:
    """What a process registers, in this incarnation of it.

    Where it listens at any address, others reach it on loopback: without a sidecar all are on one
    machine.

    Args:
        service: its name.
        instance: the same after a restart.
        address: where its gRPC listens.
        traffic: where rows go, if elsewhere.
        sidecar: where its sidecar takes what comes from other machines.
        metrics: where it tells its metrics.
        formats: of the models that it serves.
    """
    return manager_pb.Endpoint(
        service=service,
        instance=instance,
        address=_reachable_text(address),
        traffic_address=_reachable_text(traffic),
        sidecar_address=str(sidecar or ""),
        metrics_address=_reachable_text(metrics),
        formats=formats,
        incarnation=incarnation.new(),
    )


def _reachable_text(address: Address | None) -> str:
    return str(address.reachable) if address else ""


async def check_registry(registry: Registry, limit_s: float) -> None:
    """Waits until Consul answers and has a leader.

    Raises:
        errors.Unavailable: it does not by then; the message says what it says.
        errors.FailedPrecondition: as `keep_registered`, or Consul refuses the token.
    """
    needs_consul()
    from hydro_services.consul.agents import connect_agents, wait_until_ready

    async with connect_agents(registry) as agents:
        await wait_until_ready(agents, limit_s)


@contextlib.asynccontextmanager
async def _keep_lease(
    manager: Address, endpoint: manager_pb.Endpoint, token_file: Path | None
) -> AsyncIterator[None]:
    """Renews a lease of the manager's."""
    async with rpc.open_channel(manager) as channel:
        registry = registry_grpc.RegistryServiceStub(channel)
        renewal = asyncio.create_task(_renew_lease(registry, manager, endpoint, token_file))
        try:
            yield
        finally:
            # First no more renewals: one under way could come in after the deregistration.
            renewal.cancel()
            await asyncio.wait([renewal])
            # So that no new request comes while open ones are finished.
            await _deregister(registry, endpoint, token_file)


async def _renew_lease(
    registry: registry_grpc.RegistryServiceAsyncStub,
    manager: Address,
    endpoint: manager_pb.Endpoint,
    token_file: Path | None,
) -> None:
    extra = {"address": str(manager), "service": endpoint.service, "instance": endpoint.instance}
    delay, told = FIRST_DELAY_S, ""
    while True:
        try:
            lease = await _register(registry, endpoint, token_file)
        except errors.HydroError as error:
            # At a start every few tens of milliseconds: parts are started at the same time, and the
            # manager is there soon.
            state, pause = error.message, delay
            delay = min(delay * 2, MAX_DELAY_S)
            is_away = isinstance(error, errors.Unavailable | errors.NotInTime)
            if not told or told == "registered" or (told != state and not is_away):
                # At a start the manager may not be there yet; that one has gone deserves a warning.
                level = logging.INFO if is_away and not told else logging.WARNING
                logger.log(level, "not registered, retrying", extra={**extra, "error": state})
        else:
            # Two renewals may get lost before the lease ends.
            state, pause, delay = "registered", lease / 3, FIRST_DELAY_S
            if told != state:
                logger.info("registered", extra=extra)
        told = state
        await asyncio.sleep(pause)


async def _register(
    registry: registry_grpc.RegistryServiceAsyncStub,
    endpoint: manager_pb.Endpoint,
    token_file: Path | None,
) -> float:
    """The lease in seconds; raises `errors.HydroError`."""
    request = registry_pb.RegisterEndpointRequest(endpoint=endpoint)
    shown = credential.token_metadata(token_file)
    try:
        response = await registry.RegisterEndpoint(request, timeout=CALL_S, metadata=shown)
    except grpc.aio.AioRpcError as error:
        raise errors.from_rpc(error) from error
    return response.lease.ToTimedelta().total_seconds()


async def _deregister(
    registry: registry_grpc.RegistryServiceAsyncStub,
    endpoint: manager_pb.Endpoint,
    token_file: Path | None,
) -> None:
    request = registry_pb.DeregisterEndpointRequest(
        # With the incarnation: a process that is late with this must not deregister its successor.
        service=endpoint.service,
        instance=endpoint.instance,
        incarnation=endpoint.incarnation,
    )
    try:
        shown = credential.token_metadata(token_file)
        await registry.DeregisterEndpoint(request, timeout=CALL_S, metadata=shown)
    except (grpc.aio.AioRpcError, errors.HydroError) as error:
        failure = errors.from_rpc(error) if isinstance(error, grpc.aio.AioRpcError) else error
        extra = {"service": endpoint.service, "error": failure.message}
        logger.info("not deregistered, the lease will end", extra=extra)
