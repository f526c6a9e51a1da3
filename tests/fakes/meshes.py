"""Small meshes for tests."""

from __future__ import annotations

from collections.abc import Mapping

from hydro.manager.v1 import manager_service_pb2
from hydro.repository.v1 import repository_service_pb2
from hydro.serving.v1 import prediction_service_pb2
from hydro_envoy.address import Address
from hydro_envoy.mesh import ApiListener, Backend, Gateway, Mesh, Pipeline, Stage
from hydro_envoy.resources.descriptors import descriptor_set

HOST = "127.0.0.1"
MAX_MESSAGE_BYTES = 8 << 20


def gateway(port: int = 8083) -> Gateway:
    found = descriptor_set([prediction_service_pb2.DESCRIPTOR])
    return Gateway(HOST, port, found, MAX_MESSAGE_BYTES)


def manager_api_listener(port: int = 8080) -> ApiListener:
    """The manager's APIs, at the bootstrap's cluster."""
    found = descriptor_set([manager_service_pb2.DESCRIPTOR])
    return ApiListener(
        "manager", HOST, port, "manager", ("hydro.manager.v1.ManagerService",), found
    )


def repository_api_listener(port: int = 8087) -> ApiListener:
    """The repository's APIs, at the backend `repository`."""
    found = descriptor_set([repository_service_pb2.DESCRIPTOR])
    services = ("hydro.repository.v1.RepositoryService",)
    return ApiListener("repository", HOST, port, "repository", services, found)


def backend(name: str, *endpoints: Address) -> Backend:
    return Backend(name, tuple(sorted(endpoints)))


def pipeline(name: str, *backends: str) -> Pipeline:
    """A pipeline with one model on each backend."""
    stages = (Stage(b, f"m-{b}:1@digest", f"{b}/m-{b}:1") for b in backends)
    return Pipeline(name, tuple(stages))


def mesh_of(pipelines: Mapping[str, tuple[str, ...]], port: int = 9000) -> Mesh:
    """Pipelines by name, each with its backends in order; a backend has one endpoint at `port`."""
    names = sorted({b for chain in pipelines.values() for b in chain})
    return Mesh(
        gateway(),
        backends=tuple(backend(n, Address(HOST, port)) for n in names),
        pipelines=tuple(pipeline(n, *chain) for n, chain in pipelines.items()),
    )
