"""An API listener offers the gRPC services of a backend over HTTP, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from control_mesh import ControlMesh, check_error
from google.api.httpbody_pb2 import HttpBody
from grpc import aio
from grpc_health.v1 import health, health_pb2_grpc
from meshes import HOST, backend, repository_api_listener
from patience import PATIENCE_S
from ports import free_port

from hydro.repository.v1 import repository_service_pb2
from hydro_envoy.address import Address
from hydro_envoy.resources.builder import listener_ref

pytestmark = pytest.mark.e2e


class FakeRepository:
    """Streams a file of three pieces, whatever is asked for, and notes what that was."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._server = aio.server()
        self.port = self._server.add_insecure_port(f"{HOST}:0")
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, self._server)
        download: grpc.RpcMethodHandler[Any, Any] = grpc.unary_stream_rpc_method_handler(
            self._download,
            request_deserializer=repository_service_pb2.DownloadFileRequest.FromString,
            response_serializer=lambda body: body.SerializeToString(),
        )
        methods = {"DownloadFile": download}
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "hydro.repository.v1.RepositoryService", methods
                ),
            )
        )

    async def __aenter__(self) -> FakeRepository:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    async def _download(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.paths.append(request.path)
        if request.path == "missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such file: missing")
        for letter in (b"a", b"b", b"c"):
            yield HttpBody(content_type="application/octet-stream", data=letter * PIECE_BYTES)


PIECE_BYTES = 1 << 20


async def test_an_api_listener_offers_a_service_by_http(control: ControlMesh) -> None:
    async with FakeRepository() as repository:
        port = free_port()
        found = Address(HOST, repository.port)
        await control.use(
            backends=(backend("repository", found),), api_listeners=(repository_api_listener(port),)
        )
        await control.hub.wait_applied([listener_ref("repository")], timeout_s=PATIENCE_S)
        answer = await control.post("/download/m/dir/file.bin", b"", method="GET", port=port)
        assert (answer.status, answer.content_type) == (200, "application/octet-stream")
        assert answer.body == b"".join(x * PIECE_BYTES for x in (b"a", b"b", b"c"))
        assert repository.paths == ["dir/file.bin"]
        await _check_api_errors(control, repository, port)


async def _check_api_errors(mesh: ControlMesh, repository: FakeRepository, port: int) -> None:
    get = {"method": "GET", "port": port}
    missing = await mesh.post("/download/m/missing", b"", **get)  # type: ignore[arg-type]
    check_error(missing, 404, 5, "no such file")
    nowhere = await mesh.post("/nowhere", b"", **get)  # type: ignore[arg-type]
    check_error(nowhere, 404, 5, "no such path for GET: /nowhere")
    repository.paths.clear()
    for trick in ("..%2f..%2fetc/passwd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", "a%5c..%5cb"):
        answer = await mesh.post(f"/download/m/{trick}", b"", **get)  # type: ignore[arg-type]
        assert (answer.status, answer.content_type) in [
            (400, "application/json"),
            (404, "application/json"),
        ]
    assert repository.paths == [], "no trick reaches the service"
