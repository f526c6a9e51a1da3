"""Calls to runtimes: load a model, unload a model."""

from __future__ import annotations

import grpc.aio

from hydro.runtime.v1 import runtime_service_pb2 as pb
from hydro.runtime.v1 import runtime_service_pb2_grpc as pb_grpc
from hydro_services import errors, rpc
from hydro_services.manager.domain.call_plan import Load, RuntimeCommand, Unload
from hydro_services.manager.domain.sidecars import Metadata, ProcessRoute

LOAD_S = 120.0
UNLOAD_S = 120.0
"""A runtime answers once the streams that use the model have ended."""


async def send_call(call: RuntimeCommand, route: ProcessRoute) -> None:
    """Makes a call and waits for its answer.

    Raises:
        errors.HydroError: the runtime refused it or does not answer.
    """
    try:
        async with rpc.open_channel(route.address(call.endpoint)) as channel:
            runtime = pb_grpc.RuntimeServiceStub(channel)
            await _send_request(runtime, call, route.metadata(call.endpoint))
    except grpc.aio.AioRpcError as error:
        failure = errors.from_rpc(error)
        if isinstance(call, Load) and isinstance(failure, errors.NotInTime):
            # The runtime goes on; who asks it again joins that.
            raise errors.Unavailable(f"it is being loaded for more than {LOAD_S:g} s") from None
        raise failure from error


async def _send_request(
    runtime: pb_grpc.RuntimeServiceAsyncStub, call: RuntimeCommand, metadata: Metadata
) -> None:
    match call:
        case Load(model=model, repository=repository):
            request = pb.LoadModelRequest(
                model=model.name,
                version=model.version,
                digest=model.digest,
                repository=str(repository),
            )
            await runtime.LoadModel(request, timeout=LOAD_S, metadata=metadata)
        case Unload(key=key):
            unload = pb.UnloadModelRequest(key=key)
            await runtime.UnloadModel(unload, timeout=UNLOAD_S, metadata=metadata)
