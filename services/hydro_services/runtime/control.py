"""hydro.runtime.v1.RuntimeService: the manager's hand on the models of this process."""

from __future__ import annotations

import re
from typing import Any

from hydro.runtime.v1 import runtime_service_pb2 as pb
from hydro.runtime.v1 import runtime_service_pb2_grpc as pb_grpc
from hydro_envoy.address import Address
from hydro_services import errors
from hydro_services.runtime.host import Host, ModelId

_DIGEST = re.compile("[0-9a-f]{64}")


class RuntimeServicer(pb_grpc.RuntimeServiceServicer):
    """Lists, loads and unloads models."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Any
    ) -> pb.ListModelsResponse:
        models = self.host.models
        return pb.ListModelsResponse(models=[models[key].message() for key in sorted(models)])

    async def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> pb.LoadModelResponse:
        if not (request.model and request.version and request.digest and request.repository):
            want = "want model, version, digest and repository"
            raise errors.InvalidArgument(f"the request lacks a field, {want}")
        if not _DIGEST.fullmatch(request.digest):
            raise errors.InvalidArgument(f"got digest '{request.digest[:80]}', want SHA-256 in hex")
        id = ModelId(request.model, request.version, request.digest)
        hosted = await self.host.load(id, _address(request.repository))
        return pb.LoadModelResponse(model=hosted.message())

    async def UnloadModel(
        self, request: pb.UnloadModelRequest, context: Any
    ) -> pb.UnloadModelResponse:
        self.host.unload(request.key)
        return pb.UnloadModelResponse()


def _address(repository: str) -> Address:
    try:
        return Address.parse(repository)
    except ValueError as error:
        raise errors.InvalidArgument(f"repository: {error}") from error
