"""A mesh of the control plane alone, for tests: a real Envoy, echo runtimes, no manager."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import pytest
from grpc import aio
from meshes import HOST, gateway
from patience import PATIENCE_S
from ports import free_port

from hydro.serving.v1 import prediction_service_pb2_grpc
from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.address import Address
from hydro_envoy.mesh import Mesh
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_envoy.proxy.find_envoy import find_envoy
from hydro_envoy.proxy.process import Envoy
from hydro_envoy.resources.builder import Builder, pipeline_ref
from hydro_envoy.xds.hub import Hub
from hydro_envoy.xds.server import KEEPALIVE, add_ads


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ControlMesh:
    """ADS server, builder and a real Envoy; `use` changes what is served."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub()
        self.mesh = Mesh(gateway(free_port()))
        self.ads_port = free_port()
        self._builder = Builder()
        self._folder = folder
        self._ads: aio.Server | None = None
        self.envoy: Envoy | None = None

    async def __aenter__(self) -> ControlMesh:
        await self.start_ads()
        self.hub.publish(self._builder.build(self.mesh))
        wanted = Bootstrap("e2e", "gateway", Address(HOST, self.ads_port))
        self.envoy = Envoy(await find_envoy(), wanted, self._folder, concurrency=2, drain_s=1.0)
        await self.envoy.start()
        await self.envoy.ready(timeout_s=20)
        self.channel = aio.insecure_channel(f"{HOST}:{self.port}", options=_CLIENT_OPTIONS)
        self.stub: Any = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        if self.envoy:
            await self.envoy.stop()
        await self.stop_ads()
        self._builder.close()

    @property
    def port(self) -> int:
        return self.mesh.gateway.port

    async def start_ads(self) -> None:
        self._ads = aio.server(options=KEEPALIVE)
        add_ads(self._ads, self.hub)
        self._ads.add_insecure_port(f"{HOST}:{self.ads_port}")
        await self._ads.start()

    async def stop_ads(self) -> None:
        self.hub.close()
        if self._ads:
            await self._ads.stop(None)

    async def use(self, **changes: Any) -> None:
        """Changes fields of the mesh and waits until Envoy has taken all pipelines."""
        before = {p.name for p in self.mesh.pipelines}
        self.mesh = replace(self.mesh, **changes)
        self.hub.publish(self._builder.build(self.mesh))
        names = before | {p.name for p in self.mesh.pipelines}
        await self.hub.wait_applied([pipeline_ref(n) for n in names], timeout_s=10)

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        method: str = "POST",
        port: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> HttpAnswer:
        url = f"http://{HOST}:{port or self.port}{path}"
        sent = {"content-type": "application/json", **headers}
        return await request(url, body, method, sent)


_CLIENT_OPTIONS = [("grpc.max_receive_message_length", 64 << 20)]


async def request(url: str, body: bytes, method: str, headers: Mapping[str, str]) -> HttpAnswer:
    """Any answer, also one that tells of an error."""
    return await asyncio.to_thread(_request, url, body, method, dict(headers))


def _request(url: str, body: bytes, method: str, headers: dict[str, str]) -> HttpAnswer:
    request = urllib.request.Request(url, body or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return _answer(answer)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error)


def _answer(answer: Any) -> HttpAnswer:
    headers = {k.lower(): v for k, v in answer.headers.items()}
    return HttpAnswer(answer.status, headers.get("content-type", ""), answer.read(), headers)


async def predict(mesh: ControlMesh, name: str, text: str) -> str:
    answer = await mesh.stub.Predict(Frame(pipeline=name, id=text), timeout=PATIENCE_S)
    return str(answer.id)


async def predict_error(mesh: ControlMesh, name: str, text: str) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as raised:
        await predict(mesh, name, text)
    return raised.value.code(), raised.value.details() or ""


def check_error(answer: HttpAnswer, status: int, code: int, message: str) -> None:
    assert (answer.status, answer.content_type) == (status, "application/json")
    assert answer.json["code"] == code
    assert message in answer.json["message"]
