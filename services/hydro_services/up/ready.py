"""Waits for the mesh to serve, by what a client sees of it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
import time
from collections.abc import AsyncIterator, Collection, Mapping
from http import HTTPStatus
from typing import Any

import grpc.aio
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hydro_envoy.address import Address
from hydro_services import client, errors, rpc

POLL_S = 0.02
CALL_S = 1.0
LIMIT_S = 60.0

PATHS = {"gateway": "/", "manager": "/api/v1/status", "repository": "/models"}
"""What each answers at once."""
UNSERVED = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
"""What Envoy says when nobody answers behind it."""


async def wait_instances(
    manager: Address, wanted: Collection[str], admin_key: str = "", limit_s: float = LIMIT_S
) -> AsyncIterator[str]:
    """The instances as they turn ready, until all that are wanted are.

    Args:
        manager: where the manager's process listens.
        wanted: names of instances.
        admin_key: of the manager, where it has one.
        limit_s: seconds until it is given up.

    Raises:
        errors.NotInTime: an instance is not ready by then; the message names those missing.
    """
    missing, end = set(wanted), time.monotonic() + limit_s
    async with rpc.open_channel(manager) as channel:
        calls = client.ManagerClient(channel, admin_key)
        while missing:
            for instance in sorted(missing & await _ready_instances(calls)):
                missing.remove(instance)
                yield instance
            if missing and time.monotonic() > end:
                raise _not_ready_error(missing, limit_s)
            await asyncio.sleep(POLL_S)


async def _ready_instances(calls: client.ManagerClient) -> set[str]:
    with contextlib.suppress(errors.HydroError, TimeoutError):
        async with asyncio.timeout(CALL_S):
            services = await calls.list_services()
        return {e.instance for service in services for e in service.endpoints if e.ready}
    return set()


async def wait_public_ports(
    host: str, wanted: Mapping[str, int], admin_key: str, tls: bool, limit_s: float = LIMIT_S
) -> None:
    """Waits until something answers behind all ports, not only Envoy at them.

    Args:
        host: where they are.
        wanted: the ports of `PATHS`.
        admin_key: of the mesh, where it has one.
        tls: they speak it. The certificate is for others: whose it is, is not looked at.
        limit_s: seconds until it is given up.

    Raises:
        errors.NotInTime: one does not by then.
    """
    end = time.monotonic() + limit_s
    for name, port in wanted.items():
        while not await asyncio.to_thread(_serves_path, host, port, PATHS[name], admin_key, tls):
            if time.monotonic() > end:
                raise _not_ready_error({name}, limit_s)
            await asyncio.sleep(POLL_S)


def _serves_path(host: str, port: int, path: str, admin_key: str, tls: bool) -> bool:
    with contextlib.closing(_connection(host, port, tls)) as connection:
        try:
            connection.request("GET", path, headers=dict(client.bearer_metadata(admin_key)))
            return connection.getresponse().status not in UNSERVED
        except (OSError, http.client.HTTPException):
            return False


def _connection(host: str, port: int, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=CALL_S)
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=CALL_S, context=anyone)


async def answers_health(channel: grpc.aio.Channel) -> bool:
    """Whether anything answers."""
    health: Any = health_pb2_grpc.HealthStub(channel)
    try:
        await health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        return error.code() not in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)
    return True


def _not_ready_error(missing: Collection[str], limit_s: float) -> errors.NotInTime:
    names = ", ".join(sorted(missing))
    way_out = "the log lines above say why; try --log-level INFO"
    return errors.NotInTime(f"not ready after {limit_s:g} s: {names}; {way_out}", missing=names)
