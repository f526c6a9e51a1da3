"""Fakes of what the manager talks to, all real gRPC servers and clients that keep the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.route.v3 import scoped_route_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from patience import PATIENCE_S

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import manager_service_pb2_grpc as pb_grpc
from hydro.manager.v1 import pipeline_pb2
from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.manager.v1 import registry_service_pb2_grpc as registry_grpc
from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro.repository.v1 import repository_service_pb2_grpc as repository_grpc
from hydro.runtime.v1 import runtime_service_pb2 as runtime_pb
from hydro.runtime.v1 import runtime_service_pb2_grpc as runtime_grpc
from hydro.runtime.v1.signature_pb2 import Field, Signature
from hydro.serving.v1.frame_pb2 import DATA_TYPE_FLOAT64, DATA_TYPE_INT64, DATA_TYPE_STRING
from hydro_envoy.address import ANY_PORT, Address
from hydro_envoy.resources.builder import Builder
from hydro_envoy.snapshot import ResourceType
from hydro_services import errors, rpc
from hydro_services.manager import process
from hydro_services.manager.domain import mesh_plan
from hydro_services.manager.domain.state import State
from hydro_services.security import credential
from hydro_services.security.credential import Metadata

TITLE = Field(name="Title1", type=DATA_TYPE_STRING)
FEATURES = Field(name="features", type=DATA_TYPE_FLOAT64, shape=[3])
LABEL = Field(name="label", type=DATA_TYPE_STRING)
CHAIN = ("serving-scikit/prepare", "serving-spark/predict")


def model(
    name: str, format: str, inputs: list[Field], outputs: list[Field], content: str = "1"
) -> repository_pb.ModelVersion:
    return repository_pb.ModelVersion(
        model=name,
        version="1",
        format=format,
        digest=hashlib.sha256(f"{name} {content}".encode()).hexdigest(),
        signature=Signature(inputs=inputs, outputs=outputs),
    )


PREPARE = model("prepare", "skops", [TITLE], [FEATURES])
PREDICT = model("predict", "spark", [FEATURES], [LABEL])
PREDICT_2 = model("predict", "spark", [FEATURES], [LABEL], "2")
GREEDY = model("greedy", "spark", [FEATURES, Field(name="price", type=DATA_TYPE_INT64)], [LABEL])


def key(model: repository_pb.ModelVersion) -> str:
    return f"{model.model}:{model.version}@{model.digest[:12]}"


def reading(name: str, version: str = "1") -> repository_pb.ModelVersion:
    return repository_pb.ModelVersion(model=name, version=version, reading=True)


def refused(name: str, why: str, version: str = "1") -> repository_pb.ModelVersion:
    error = errors.to_status(errors.ModelRefused(why))
    return repository_pb.ModelVersion(model=name, version=version, error=error)


class World:
    """Notes what happens to the fakes, in order, and wakes who waits for it."""

    def __init__(self) -> None:
        self.journal: list[tuple[str, ...]] = []
        self.changed = asyncio.Condition()

    async def note(self, *entry: str) -> None:
        async with self.changed:
            self.journal.append(entry)
            self.changed.notify_all()

    async def until(self, predicate: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(predicate)

    async def seen(self, *entry: str) -> None:
        await self.until(lambda: entry in self.journal)

    def order(self, *entries: tuple[str, ...]) -> list[int]:
        return [self.journal.index(entry) for entry in entries]


class Runtime(runtime_grpc.RuntimeServiceServicer):
    """A runtime that loads what it is told, unless it is told otherwise."""

    def __init__(self, world: World, service: str, format: str, instance: str = "one") -> None:
        self.world = world
        self.endpoint = pb.Endpoint(
            service=service, instance=instance, formats=[format], incarnation="first"
        )
        self.failures: dict[str, errors.HydroError] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.loaded: set[str] = set()

    async def LoadModel(self, request: runtime_pb.LoadModelRequest, context: Any) -> Any:
        assert len(request.digest) == 64
        assert request.repository
        loaded = f"{request.model}:{request.version}@{request.digest[:12]}"
        await self.world.note("asked", self.endpoint.instance, loaded)
        await self.gate.wait()
        if failure := self.failures.get(request.model):
            raise failure
        self.loaded.add(loaded)
        await self.world.note("loaded", self.endpoint.instance, loaded)
        return runtime_pb.LoadModelResponse()

    async def ListModels(self, request: runtime_pb.ListModelsRequest, context: Any) -> Any:
        raise NotImplementedError

    async def UnloadModel(self, request: runtime_pb.UnloadModelRequest, context: Any) -> Any:
        self.loaded.discard(request.key)
        await self.world.note("unloaded", self.endpoint.instance, request.key)
        return runtime_pb.UnloadModelResponse()

    def register(self, server: grpc.aio.Server) -> None:
        runtime_grpc.add_RuntimeServiceServicer_to_server(self, server)


class Repository(repository_grpc.RepositoryServiceServicer):
    """A repository whose models the test sets."""

    def __init__(self) -> None:
        self.endpoint = pb.Endpoint(service="repository", instance="one", incarnation="first")
        self.models: list[repository_pb.ModelVersion] = [GREEDY, PREDICT, PREPARE]
        self.others: list[repository_pb.ModelVersion] = []
        self.changed = asyncio.Condition()

    async def publish(
        self,
        *models: repository_pb.ModelVersion,
        others: Sequence[repository_pb.ModelVersion] = (),
    ) -> None:
        """Tells of these models; `others` are refused or being read."""
        async with self.changed:
            self.others = [*others]
            self.models = sorted(models, key=lambda m: (m.model, m.version))
            self.changed.notify_all()

    ListModels = GetModel = GetMetadata = ListFiles = DownloadFile = Download = None  # type: ignore[assignment]

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[repository_pb.WatchResponse]:
        while True:
            told = self.models
            yield repository_pb.WatchResponse(models=told, others=self.others)
            async with self.changed:
                await self.changed.wait_for(partial(self.is_other, told))

    def is_other(self, told: list[repository_pb.ModelVersion]) -> bool:
        return self.models is not told

    def register(self, server: grpc.aio.Server) -> None:
        repository_grpc.add_RepositoryServiceServicer_to_server(self, server)


class Envoy:
    """Takes everything by delta ADS and acknowledges it, unless it is told otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.id = "gateway"
        self.resources: dict[str, dict[str, bytes]] = {type_.url: {} for type_ in ResourceType}
        self.refusals: dict[str, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    @contextlib.asynccontextmanager
    async def connected(self, address: Address, token: Metadata = ()) -> AsyncIterator[Envoy]:
        async with rpc.open_channel(address) as channel:
            stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
            task = asyncio.create_task(self.run(stub.DeltaAggregatedResources(metadata=token)))
            yield self
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def run(self, call: Any) -> None:
        for type_ in (ResourceType.CLUSTER, ResourceType.LISTENER, ResourceType.SCOPE):
            request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_.url)
            request.node.id = self.id
            await call.write(request)
        with contextlib.suppress(grpc.aio.AioRpcError):  # the manager was killed: keep all
            await self.pump(call)

    async def pump(self, call: Any) -> None:
        async for response in call:
            await self.gate.wait()
            answer = discovery_pb2.DeltaDiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce
            )
            refused = [self.refusals[r.name] for r in response.resources if r.name in self.refusals]
            if refused:
                answer.error_detail.message = refused[0]
                await call.write(answer)
                continue
            await call.write(answer)
            await self.take(response)
            for request in self.subscriptions(response):
                await call.write(request)

    async def take(self, response: Any) -> None:
        table = self.resources[response.type_url]
        for resource in response.resources:
            table[resource.name] = resource.resource.value
            await self.world.note("took", resource.name, resource.version)
        for name in response.removed_resources:
            table.pop(name, None)
            await self.world.note("dropped", name)

    def subscriptions(self, response: Any) -> Iterator[Any]:
        bodies = [resource.resource.value for resource in response.resources]
        if response.type_url == ResourceType.CLUSTER.url:
            clusters = [cluster_pb2.Cluster.FromString(body) for body in bodies]
            names = [c.name for c in clusters if c.type == cluster_pb2.Cluster.EDS]
            yield from self.subscription(ResourceType.ENDPOINTS, names)
        if response.type_url == ResourceType.LISTENER.url:
            listeners = [resource.name for resource in response.resources]
            yield from self.subscription(ResourceType.FILTER, ["callers"] * ("pipes" in listeners))
        if response.type_url == ResourceType.SCOPE.url:
            scopes = [scoped_route_pb2.ScopedRouteConfiguration.FromString(b) for b in bodies]
            names = [scope.route_configuration_name for scope in scopes]
            yield from self.subscription(ResourceType.ROUTES, names)

    def subscription(self, type_: ResourceType, names: list[str]) -> Iterator[Any]:
        if names:
            yield discovery_pb2.DeltaDiscoveryRequest(
                type_url=type_.url, resource_names_subscribe=names
            )

    def has(self, type_: ResourceType, name: str) -> bool:
        return name in self.resources[type_.url]

    def serves(self, pipeline: str, *models: repository_pb.ModelVersion) -> bool:
        routes = self.resources[ResourceType.ROUTES.url].get(f"pipeline/{pipeline}", b"")
        return bool(routes) and all(key(model).encode() in routes for model in models)

    def ports(self, service: str) -> set[int]:
        """Of the endpoints that take traffic."""
        return {
            endpoint.endpoint.address.socket_address.port_value
            for name, body in self.resources[ResourceType.ENDPOINTS.url].items()
            if name.startswith(service)
            for locality in endpoint_pb2.ClusterLoadAssignment.FromString(body).endpoints
            for endpoint in locality.lb_endpoints
        }


@functools.cache
def build_once(config: process.Config) -> None:
    """The first build imports for seconds: it is not to be part of what a test waits for."""
    Builder().build(mesh_plan.build_mesh(State(), process.base_mesh(config)))


class Mesh:
    """A manager and what it talks to."""

    def __init__(self, tmp_path: Path) -> None:
        self.world = World()
        self.envoy = Envoy(self.world)
        self.scikit = Runtime(self.world, "serving-scikit", "skops")
        self.spark = Runtime(self.world, "serving-spark", "spark")
        self.repository = Repository()
        self.config = process.Config(
            tmp_path / "data", listen=ANY_PORT, limit_s=20.0, patience_s=2.0, lease_s=30.0
        )
        self.stack = contextlib.AsyncExitStack()
        self.address = ANY_PORT

    async def start(self) -> None:
        """The manager, with an Envoy."""
        build_once(process.Config(Path()))
        served = await self.stack.enter_async_context(process.serve(self.config))
        await self.reach(served.address)

    async def reach(self, address: Address) -> None:
        channel = await self.stack.enter_async_context(rpc.open_channel(address))
        self.channel = channel
        self.manager = pb_grpc.ManagerServiceStub(channel)
        self.registry = registry_grpc.RegistryServiceStub(channel)
        self.address = address

    async def connect(self) -> None:
        await self.stack.enter_async_context(self.envoy.connected(self.address, self.token))

    async def join(self, *parts: Runtime | Repository) -> None:
        """Starts parts and registers them, once."""
        for part in parts:
            serving = rpc.serve(ANY_PORT, part.register, (), grace_s=0.0)
            served = await self.stack.enter_async_context(serving)
            part.endpoint.address = str(served.address)
            await self.register(part.endpoint)

    async def register(self, endpoint: pb.Endpoint) -> None:
        request = registry_pb.RegisterEndpointRequest(endpoint=endpoint)
        await self.registry.RegisterEndpoint(request, metadata=self.token)

    @property
    def token(self) -> Metadata:
        """What Envoys and parts show the manager."""
        own = self.config.data / credential.TOKEN_FILE
        return credential.token_metadata(self.config.token_file or own)

    async def create(
        self, name: str = "match", chain: tuple[str, ...] = CHAIN, etag: str = ""
    ) -> pipeline_pb2.Pipeline:
        pipeline = pipeline_pb2.Pipeline(name=name, chain=chain, etag=etag)
        try:
            return await self.manager.CreatePipeline(pb.CreatePipelineRequest(pipeline=pipeline))
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc(error) from error

    async def pipelines(self) -> dict[str, pipeline_pb2.Pipeline]:
        response = await self.manager.ListPipelines(pb.ListPipelinesRequest())
        return {pipeline.name: pipeline for pipeline in response.pipelines}

    async def shown(self, predicate: Callable[[pipeline_pb2.Pipeline], bool]) -> Any:
        """Waits until the one pipeline is shown like this."""
        async with asyncio.timeout(PATIENCE_S):
            async for response in self.manager.WatchPipelines(pb.WatchPipelinesRequest()):
                if response.pipelines and predicate(response.pipelines[0]):
                    return response.pipelines[0]

    async def heard(self) -> None:
        """Waits until the manager has heard that `predict` cannot be had."""
        wanted = pipeline_pb2.Pipeline(name="other", chain=CHAIN[1:])
        request = pb.PlanPipelineRequest(pipeline=wanted)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await self.manager.PlanPipeline(request, timeout=2)
                except grpc.aio.AioRpcError:  # at once, or in vain if it is being read
                    return
                await asyncio.sleep(0.02)


SCRIPT = """
import asyncio, sys
from pathlib import Path
from hydro_envoy.address import ANY_PORT, Address
from hydro_services.manager import process

# The fakes register once: their leases must outlast a slow machine.
CONFIG = process.Config(Path(sys.argv[1]), listen=ANY_PORT, lease_s=120)

async def main():
    async with process.serve(CONFIG) as served:
        print(served.address, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def manager_process(data: Path) -> AsyncIterator[Address]:
    """A manager in a process of its own, killed without warning at the end."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, str(data)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout
        async with asyncio.timeout(PATIENCE_S):
            yield Address.parse((await child.stdout.readline()).decode().strip())
    finally:
        child.send_signal(signal.SIGKILL)
        await child.communicate()
