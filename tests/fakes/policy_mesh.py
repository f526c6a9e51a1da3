"""A mesh of the control plane with one pipeline `p`, to see what policies do to its requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import grpc
import pytest
from control_mesh import ControlMesh, HttpAnswer
from echo_runtime import EchoRuntime
from grpc import aio
from meshes import backend, pipeline
from patience import PATIENCE_S

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.mesh import Pipeline, Traffic, Variant
from hydro_envoy.policy import Policy, StagePolicy

PATH = "/api/v1/serve/p"


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110  # Envoy can only be asked
            await asyncio.sleep(0.05)


class Policies:
    """A mesh with runtimes `a` and `b`, where `p` is the pipeline under test."""

    def __init__(self, mesh: ControlMesh, a: EchoRuntime, b: EchoRuntime) -> None:
        self.mesh, self.a, self.b = mesh, a, b

    async def use(self, *wanted: Pipeline, **backends: tuple[EchoRuntime, ...]) -> None:
        found = {"a": (self.a,), "b": (self.b,)} | backends
        await self.mesh.use(
            backends=tuple(backend(n, *(r.endpoint for r in rs)) for n, rs in found.items()),
            pipelines=wanted,
        )

    async def chain(self, *backends: str, traffic: Traffic | None = None, **policy: Any) -> None:
        wanted = pipeline("p", *backends)
        wanted = replace(wanted, policy=Policy(**policy), traffic=traffic or Traffic())
        await self.use(wanted)

    async def predict(self, text: str = "x", pipeline: str = "p", **headers: str) -> str:
        answer = await self.mesh.stub.Predict(
            Frame(pipeline=pipeline, id=text), timeout=PATIENCE_S, metadata=tuple(headers.items())
        )
        return str(answer.id)

    async def error(self, text: str = "x", **headers: str) -> aio.AioRpcError:
        with pytest.raises(aio.AioRpcError) as raised:
            await self.predict(text, **headers)
        return raised.value

    async def codes(
        self, calls: int, pipeline: str = "p", **headers: str
    ) -> Counter[grpc.StatusCode]:
        async def one() -> grpc.StatusCode:
            try:
                await self.predict(pipeline=pipeline, **headers)
            except aio.AioRpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        return Counter([await one() for _ in range(calls)])

    async def serve(
        self, body: bytes = b"x", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        return await self.mesh.post(PATH, body, headers=headers or {})

    async def stats(self, prefix: str) -> dict[str, int]:
        assert self.mesh.envoy
        port = self.mesh.envoy.admin.port
        path = f"/stats?format=json&filter=^{prefix}"
        answer = await self.mesh.post(path, b"", method="GET", port=port)
        values = {s["name"]: s["value"] for s in answer.json["stats"] if "name" in s}
        return {name.removeprefix(prefix): value for name, value in values.items()}

    async def counted(self, prefix: str, name: str, value: int) -> None:
        async def holds() -> bool:
            return (await self.stats(prefix)).get(name, 0) >= value

        await until(holds)

    async def checked(self, runtime: EchoRuntime, times: int) -> None:
        """Its health was asked for, so many times from now."""
        wanted = runtime.health.checks + times

        async def holds() -> bool:
            return runtime.health.checks >= wanted

        await until(holds)


def refused(answer: HttpAnswer, status: int, code: int) -> str:
    assert (answer.status, answer.content_type) == (status, "application/json")
    assert answer.json["code"] == code
    return str(answer.json["message"])


OK = grpc.StatusCode.OK
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DEADLINE = grpc.StatusCode.DEADLINE_EXCEEDED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def with_stage(wanted: Pipeline, index: int, policy: StagePolicy) -> Pipeline:
    stages = list(wanted.stages)
    stages[index] = replace(stages[index], policy=policy)
    return replace(wanted, stages=tuple(stages))


async def until_seen(calls: int, *runtimes: EchoRuntime) -> None:
    async def holds() -> bool:
        return sum(len(runtime.seen) for runtime in runtimes) >= calls

    await until(holds)


def canary(weight: int, **more: Any) -> Traffic:
    return Traffic((Variant("canary", pipeline("c", "b").stages, weight, **more),))
