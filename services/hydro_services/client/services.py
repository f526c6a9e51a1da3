"""Clients of the manager and the repository."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Sequence,
)

import grpc
import grpc.aio

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import manager_service_pb2_grpc as manager_grpc
from hydro.manager.v1 import pipeline_pb2 as pipeline_pb
from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro.repository.v1 import repository_service_pb2_grpc as repository_grpc
from hydro_services.client.channel import CHANGE_S, Api, bearer_metadata, convert_errors


class ManagerClient(Api):
    """Pipelines and services; raises what the RPCs of ManagerService are documented with."""

    def __init__(self, channel: grpc.aio.Channel, admin_key: str = "") -> None:
        self._stub = manager_grpc.ManagerServiceStub(channel)
        self._metadata = bearer_metadata(admin_key)

    async def list_pipelines(self) -> Sequence[pipeline_pb.Pipeline]:
        """By name."""
        request = manager_pb.ListPipelinesRequest()
        return (await self.ask(self._stub.ListPipelines, request)).pipelines

    async def get_pipeline(self, name: str) -> pipeline_pb.Pipeline:
        request = manager_pb.GetPipelineRequest(name=name)
        return await self.ask(self._stub.GetPipeline, request)

    async def apply_pipeline(
        self, pipeline: pipeline_pb.Pipeline, timeout_s: float = CHANGE_S
    ) -> pipeline_pb.Pipeline:
        """Creates or replaces it; answers when it serves.

        What is not ready in time stays pending, and becomes ready by itself.
        """
        request = manager_pb.CreatePipelineRequest(pipeline=pipeline)
        return await self.ask(self._stub.CreatePipeline, request, timeout_s)

    async def watch_pipeline(self, name: str) -> AsyncIterator[pipeline_pb.Pipeline]:
        """The pipeline as it is, and again after each change, while there is one; never ends."""
        request = manager_pb.WatchPipelinesRequest(name=name)
        with convert_errors():
            async for response in self._stub.WatchPipelines(request, metadata=self._metadata):
                for pipeline in response.pipelines:
                    if pipeline.name == name:
                        yield pipeline

    async def plan_pipeline(
        self, pipeline: pipeline_pb.Pipeline
    ) -> Sequence[manager_pb.ResourceChange]:
        """What applying it would change in Envoy, by type and name."""
        request = manager_pb.PlanPipelineRequest(pipeline=pipeline)
        return (await self.ask(self._stub.PlanPipeline, request)).changes

    async def delete_pipeline(self, name: str) -> None:
        request = manager_pb.DeletePipelineRequest(name=name)
        await self.ask(self._stub.DeletePipeline, request, CHANGE_S)

    async def get_status(self) -> manager_pb.GetStatusResponse:
        """Which Envoys are connected, and where the metrics of each part are."""
        request = manager_pb.GetStatusRequest()
        return await self.ask(self._stub.GetStatus, request)

    async def list_services(self) -> Sequence[manager_pb.Service]:
        """By name."""
        request = manager_pb.ListServicesRequest()
        return (await self.ask(self._stub.ListServices, request)).services


class RepositoryClient(Api):
    """Models; raises what the RPCs of RepositoryService are documented with."""

    def __init__(self, channel: grpc.aio.Channel, admin_key: str = "") -> None:
        self._stub = repository_grpc.RepositoryServiceStub(channel)
        self._metadata = bearer_metadata(admin_key)

    async def list_models(self) -> Sequence[repository_pb.ModelVersion]:
        """Every version, published or refused, by name and version."""
        return (await self.list_models_and_roots()).models

    async def list_models_and_roots(self) -> repository_pb.ListModelsResponse:
        """Every version, and where models come from."""
        return await self.ask(self._stub.ListModels, repository_pb.ListModelsRequest())

    async def watch_models(self) -> AsyncIterator[Sequence[repository_pb.ModelVersion]]:
        """Every version, without files, as they are, and again after each change; never ends."""
        request = repository_pb.WatchRequest()
        with convert_errors():
            async for response in self._stub.Watch(request, metadata=self._metadata):
                yield [*response.models, *response.others]

    async def get_model(self, model: str, version: str = "") -> repository_pb.ModelVersion:
        """One version; the latest where none is given."""
        request = repository_pb.GetModelRequest(model=model, version=version)
        return (await self.ask(self._stub.GetModel, request)).model
