"""The manager's API over HTTP/JSON, through a real Envoy: the original's URLs."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from manager_mesh import Mesh
from patience import PATIENCE_S
from ports import free_port

from hydro_envoy.address import Address
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_envoy.proxy.find_envoy import find_envoy
from hydro_envoy.proxy.process import Envoy

pytestmark = pytest.mark.e2e

HOST = "127.0.0.1"
PIPELINE = {
    "name": "endpointML",
    "transportType": "http",
    "chain": ["serving-scikit/prepare", "serving-spark/predict"],
}


class Web:
    """The manager's API listener."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the JSON of the answer."""
        return await asyncio.to_thread(self._ask, method, path, body)

    def _ask(self, method: str, path: str, body: object) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            content = body if body is None or isinstance(body, str) else json.dumps(body)
            headers = {} if content is None else {"content-type": "application/json"}
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    mesh = Mesh(tmp_path)
    port = free_port()
    mesh.config = replace(
        mesh.config,
        manager_api=Address(HOST, port),
        gateway=Address(HOST, free_port()),
        repository_api=Address(HOST, free_port()),
    )
    async with mesh.stack:
        await mesh.start()
        await mesh.join(mesh.scikit, mesh.spark, mesh.repository)
        wanted = Bootstrap("gateway", "gateway", mesh.address, token=mesh.token[0][1])
        async with Envoy(
            await find_envoy(), wanted, tmp_path / "envoy", concurrency=1, drain_s=0.1
        ) as envoy:
            await envoy.ready(timeout_s=20)
            yield Web(port)


async def test_pipeline_is_created_listed_replaced_and_deleted(web: Web) -> None:
    status, created = await web.ask("POST", "/api/v1/pipelines", PIPELINE)
    assert (status, created["state"]) == (200, "PIPELINE_STATE_READY")
    assert {key: created[key] for key in PIPELINE} == PIPELINE
    assert await web.ask("GET", "/api/v1/pipelines") == (200, {"pipelines": [created]})
    assert await web.ask("GET", "/api/v1/pipelines/endpointML") == (200, created)
    wanted = {"chain": ["serving-spark/predict"]}
    status, replaced = await web.ask("PUT", "/api/v1/pipelines/endpointML", wanted)
    assert (status, replaced["chain"]) == (200, wanted["chain"])
    assert await web.ask("DELETE", "/api/v1/pipelines/endpointML") == (200, {})
    status, error = await web.ask("GET", "/api/v1/pipelines/endpointML")
    assert (status, error["message"]) == (404, "there is no pipeline 'endpointML'")


async def test_bad_chain_is_a_bad_request_with_both_sets(web: Web) -> None:
    chain = ["serving-scikit/prepare", "serving-spark/greedy"]
    status, error = await web.ask("POST", "/api/v1/pipelines", {**PIPELINE, "chain": chain})
    assert status == 400
    assert "wants {features: float64[3], price: int64}" in error["message"]
    assert "there are {Title1: string, features: float64[3]}" in error["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"name": "p", "polcy": {}}', 'no field named "polcy"'),
        ('{"name": "p", "policy": {"acess": {}}}', 'no field named "acess"'),
        ('{"name": "p", "name": "q"}', "duplicate key name"),
        ('{"name": 1}', "Failed to parse name field"),
        ('{"name": "p"', "line 1 column 13"),
        ("[]", "got '[]', which is not a JSON object"),
        ("", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ('{"name":' * 100_000, "maximum recursion depth exceeded"),
    ],
)
async def test_a_pipeline_that_is_none_is_a_bad_request_and_changes_nothing(
    web: Web, body: str, message: str
) -> None:
    calls = ("POST", "/api/v1/pipelines"), ("PUT", "/api/v1/pipelines/p")
    for method, path in (*calls, ("POST", "/api/v1/pipelines:plan")):
        status, error = await web.ask(method, path, body)
        assert (status, error["code"]) == (400, 3)
        assert message in error["message"]
        assert '"chain": ["SERVICE/MODEL", ...]' in error["message"]
    assert await web.ask("GET", "/api/v1/pipelines") == (200, {"pipelines": []})


async def test_plan_shows_envoys_resources(web: Web) -> None:
    status, plan = await web.ask("POST", "/api/v1/pipelines:plan", PIPELINE)
    assert status == 200
    assert [(c["action"], c["name"]) for c in plan["changes"]] == [
        ("add", "endpointML"),
        ("add", "pipeline/endpointML"),
    ]
    assert json.loads(plan["changes"][1]["after"])["name"] == "pipeline/endpointML"


async def test_services_are_listed_with_their_endpoints(web: Web) -> None:
    status, found = await web.ask("GET", "/api/v1/services")
    assert status == 200
    assert [(s["name"], s["endpoints"][0]["ready"]) for s in found["services"]] == [
        ("repository", True),
        ("serving-scikit", True),
        ("serving-spark", True),
    ]
