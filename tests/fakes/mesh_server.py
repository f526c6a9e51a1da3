"""A manager, a repository and a gateway in one gRPC server, for clients to talk to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import grpc.aio
from google.api import httpbody_pb2
from google.protobuf import empty_pb2

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import manager_service_pb2_grpc as manager_grpc
from hydro.manager.v1 import pipeline_pb2 as pb
from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro.repository.v1 import repository_service_pb2_grpc as repository_grpc
from hydro.serving.v1 import prediction_service_pb2 as prediction_pb
from hydro.serving.v1 import prediction_service_pb2_grpc as prediction_grpc
from hydro_services import errors


class Manager(manager_grpc.ManagerServiceServicer):
    """Keeps pipelines in memory."""

    def __init__(self) -> None:
        self.pipelines: dict[str, pb.Pipeline] = {}

    async def CreatePipeline(
        self, request: manager_pb.CreatePipelineRequest, context: object
    ) -> pb.Pipeline:
        if not request.pipeline.chain:
            raise errors.InvalidArgument("the chain is empty, want at least one stage")
        pipeline = pb.Pipeline()
        pipeline.CopyFrom(request.pipeline)
        pipeline.state = pb.PIPELINE_STATE_READY
        self.pipelines[pipeline.name] = pipeline
        return pipeline

    async def GetPipeline(
        self, request: manager_pb.GetPipelineRequest, context: object
    ) -> pb.Pipeline:
        if request.name not in self.pipelines:
            raise errors.NotFound(f"no pipeline named {request.name!r}")
        return self.pipelines[request.name]

    async def ListPipelines(
        self, request: manager_pb.ListPipelinesRequest, context: object
    ) -> manager_pb.ListPipelinesResponse:
        return manager_pb.ListPipelinesResponse(pipelines=self.pipelines.values())

    async def DeletePipeline(
        self, request: manager_pb.DeletePipelineRequest, context: object
    ) -> empty_pb2.Empty:
        await self.GetPipeline(manager_pb.GetPipelineRequest(name=request.name), context)
        del self.pipelines[request.name]
        return empty_pb2.Empty()

    async def PlanPipeline(
        self, request: manager_pb.PlanPipelineRequest, context: object
    ) -> manager_pb.PlanPipelineResponse:
        type_url = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
        name = request.pipeline.name
        change = manager_pb.ResourceChange(
            type_url=type_url, name=name, action="add", after='{\n  "name": "p"\n}'
        )
        return manager_pb.PlanPipelineResponse(changes=[change])

    async def ListServices(
        self, request: manager_pb.ListServicesRequest, context: object
    ) -> manager_pb.ListServicesResponse:
        endpoint = manager_pb.Endpoint(
            instance="serving-scikit-1", address="127.0.0.1:9", ready=True
        )
        service = manager_pb.Service(name="serving-scikit", endpoints=[endpoint])
        return manager_pb.ListServicesResponse(services=[service])


class Repository(repository_grpc.RepositoryServiceServicer):
    """Has one model."""

    async def ListModels(
        self, request: repository_pb.ListModelsRequest, context: object
    ) -> repository_pb.ListModelsResponse:
        return repository_pb.ListModelsResponse(models=[self.model()])

    async def GetModel(
        self, request: repository_pb.GetModelRequest, context: object
    ) -> repository_pb.GetModelResponse:
        if request.model != "iris":
            raise errors.NotFound(f"no model named {request.model!r}")
        return repository_pb.GetModelResponse(model=self.model())

    def model(self) -> repository_pb.ModelVersion:
        model = repository_pb.ModelVersion(
            model="iris", version="1", format="skops", digest="ab" * 32
        )
        model.signature.inputs.add(name="x", type=5, shape=[4])
        model.stages.add(name="PipelineModel", uid="p")
        model.stages.add(name="Tokenizer", uid="t", depth=1)
        model.files.add(path="model.skops", size_bytes=1500, sha256="cd" * 32)
        return model


class Gateway(prediction_grpc.PredictionServiceServicer):
    """Answers each row with itself and `y`: x + 1; a row without x fails."""

    async def Serve(
        self, request_iterator: AsyncIterator[prediction_pb.ServeRequest], context: object
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        body, content_type = b"", ""
        async for request in request_iterator:
            if not content_type and request.pipeline != "p":
                raise errors.NotFound(f"no such pipeline: {request.pipeline}")
            content_type = request.body.content_type
            body += request.body.data
            if content_type == "application/x-ndjson":
                whole, newline, body = body.rpartition(b"\n")
                if newline:
                    lines = [json.dumps(answer(json.loads(line))) for line in whole.splitlines()]
                    yield httpbody_pb2.HttpBody(
                        data="".join(f"{line}\n" for line in lines).encode()
                    )
        if content_type == "application/json":
            rows = [answer(row) for row in json.loads(body)]
            yield httpbody_pb2.HttpBody(data=json.dumps(rows).encode())


def answer(row: dict[str, object]) -> dict[str, object]:
    x = row.get("x")
    if not isinstance(x, int):
        return {"error": {"code": 3, "message": "column 'x' is missing"}}
    return {**row, "y": x + 1}


def register(server: grpc.aio.Server) -> None:
    """Adds all three to a server; methods that are not here answer UNIMPLEMENTED."""
    manager_grpc.add_ManagerServiceServicer_to_server(Manager(), server)  # type: ignore[abstract]
    repository_grpc.add_RepositoryServiceServicer_to_server(
        Repository(),  # type: ignore[abstract]
        server,
    )
    prediction_grpc.add_PredictionServiceServicer_to_server(
        Gateway(),  # type: ignore[abstract]
        server,
    )
