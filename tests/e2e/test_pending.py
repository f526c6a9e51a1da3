"""Pipelines whose models take long to load: whoever leaves or dies, they come to serve."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from chains import started
from clients import Clients, connect, frame, refused
from google.rpc import error_details_pb2, status_pb2
from patience import PATIENCE_S
from slow_models import SLOW, SlowModel
from whole_mesh import WholeMesh, environment, until_true

pytestmark = pytest.mark.e2e

SERVICE = "serving-customscikit"
PENDING, READY, FAILED = (f"PIPELINE_STATE_{word}" for word in ("PENDING", "READY", "FAILED"))
NAMES = ("left", "killed", "waited", "broken", "next", "events")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, SlowModel]:
    """One for each test."""
    folder = tmp_path_factory.mktemp("slow-models")
    return {name: SlowModel.create(folder / "models", name, folder) for name in NAMES}


@pytest.fixture(scope="module")
def slow(
    models: Mapping[str, SlowModel], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WholeMesh]:
    sources = [models["left"].folder.parents[1], SLOW.parents[2] / "wild"]
    mesh = started(tmp_path_factory.mktemp("slow"), f"--runtime={SERVICE}", models=sources)
    try:
        yield mesh
    finally:
        for model in models.values():
            model.open()
        mesh.stop()


@pytest.fixture
async def clients(slow: WholeMesh) -> AsyncIterator[Clients]:
    async with connect(slow) as found:
        await until_true(partial(is_innocent_served, found), PATIENCE_S, "the mesh serves")
        yield found


async def is_innocent_served(clients: Clients) -> bool:
    """A pipeline beside, which what is slow is not to disturb."""
    return (await clients.create("innocent", f"{SERVICE}/innocent")).status_code == 200


class Hydro:
    """A command that runs, and what it has said until now."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, mesh: WholeMesh, *words: str) -> Hydro:
        parts = {f"HYDRO_{p.upper()}": mesh.address(p) for p in ("manager", "gateway")}
        command = [sys.executable, "-m", "hydro_services.cli.main", *words]
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdout=pipe, stderr=pipe, env=environment() | parts
            )
        )

    async def line(self, *, error: bool = True) -> str:
        stream = self.process.stderr if error else self.process.stdout
        assert stream
        async with asyncio.timeout(PATIENCE_S):
            return (await stream.readline()).decode()

    async def end(self) -> tuple[int, str, str]:
        """Its exit code, and what else it said."""
        async with asyncio.timeout(PATIENCE_S):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


def apply(mesh: WholeMesh, name: str, *words: str) -> Any:
    return Hydro.start(mesh, "pipelines", "apply", name, f"{SERVICE}/{name}", *words)


async def get(clients: Clients, name: str) -> dict[str, Any]:
    url = f"{clients.mesh.urls['manager']}/api/v1/pipelines/{name}"
    found: dict[str, Any] = (await clients.http.get(url)).json()
    return found


async def is_in(clients: Clients, name: str, state: str) -> bool:
    with contextlib.suppress(Exception):  # the manager may be away
        return (await get(clients, name)).get("state") == state
    return False


async def reaches(clients: Clients, name: str, state: str) -> dict[str, Any]:
    await until_true(partial(is_in, clients, name, state), PATIENCE_S, f"{name} is {state}")
    return await get(clients, name)


async def serves(clients: Clients, name: str) -> None:
    assert await clients.answers(name, [{"text": "a"}]) == [{"text": "a", "echo": "a!"}]


async def is_told_to_wait(clients: Clients, name: str, words: str) -> None:
    """By JSON and gRPC, unary and as a stream, in the one form of errors."""

    async def is_told() -> bool:
        return words in (await clients.serve(name, [{"text": "a"}])).text

    # The manager shows a state as soon as it has it, Envoy when that has reached it.
    await until_true(is_told, PATIENCE_S, f"Envoy says: {words}")
    response = await clients.serve(name, [{"text": "a"}])
    assert response.status_code == 503, response.text
    assert response.headers["retry-after"] == "2"
    body = response.json()
    assert (body["code"], body["status"], body["reason"]) == (14, "UNAVAILABLE", "UNAVAILABLE")
    assert body["message"].startswith(f"pipeline '{name}' ")
    assert words in body["message"]
    details = {detail["@type"].rpartition(".")[2]: detail for detail in body["details"]}
    assert details["ErrorInfo"]["metadata"]["pipeline"] == name
    assert details["RetryInfo"]["retryDelay"] == "2s"
    typed = f"{clients.mesh.urls['gateway']}/api/v1/predict/{name}"
    assert (await clients.http.post(typed, json={"table": {"rows": 1}})).status_code == 503
    for error in (
        await refused(clients.predictions.Predict(frame(name, "a"))),
        await refused(first_answer(clients, name)),
    ):
        assert words in (error.details() or "")
        told = dict(error.trailing_metadata() or ()) | dict(error.initial_metadata() or ())
        status = status_pb2.Status.FromString(told["grpc-status-details-bin"])
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status.details)
        assert retry.retry_delay.seconds == 2


async def first_answer(clients: Clients, name: str) -> Any:
    async def frames() -> AsyncIterator[Any]:
        yield frame(name, "a")

    async for answer in clients.predictions.PredictStream(frames()):
        return answer


async def test_whoever_leaves_it_is_pending_and_comes_to_serve(
    clients: Clients, models: Mapping[str, SlowModel]
) -> None:
    code, out, err = await (await apply(clients.mesh, "left", "--timeout", "4")).end()
    *progress, error = err.splitlines()
    assert (code, out) == (1, "")
    assert progress[0].startswith(f"left  pending  stage '{SERVICE}/left': model left:1@")
    assert "process 1 of 1 (it is being loaded)" in progress[0]
    assert error.startswith("error: pipeline 'left' does not serve after ")
    assert "it stays PENDING and becomes ready by itself" in error
    shown = await get(clients, "left")
    assert (shown["state"], shown["error"]["code"]) == (PENDING, 14)
    await is_told_to_wait(clients, "left", "its models are being read or loaded")
    await clients.answers("innocent", [{"text": "a"}])
    models["left"].open()
    await reaches(clients, "left", READY)
    await serves(clients, "left")


async def test_ctrl_c_leaves_it_pending(clients: Clients, models: Mapping[str, SlowModel]) -> None:
    running = await apply(clients.mesh, "events", "--json")
    event = json.loads(await running.line(error=False))
    running.process.send_signal(signal.SIGINT)
    code, _, err = await running.end()
    assert code == 130, (event, err)
    assert "pipeline 'events' stays pending and becomes ready by itself" in err
    assert (event["event"], event["name"], event["awaits"]) == ("pending", "events", "load")
    assert (event["stage"], event["model"]) == (f"{SERVICE}/events", "events")
    assert (event["loaded"], event["processes"]) == ("0", "1")
    assert (await get(clients, "events"))["etag"] == event["etag"]
    again = await apply(clients.mesh, "events", "--json")
    assert json.loads(await again.line(error=False))["etag"] == event["etag"]
    models["events"].open()
    code, out, err = await again.end()
    assert (code, err) == (0, "")
    assert json.loads(out.splitlines()[-1]) == await get(clients, "events")


async def test_a_manager_that_is_killed_goes_on_and_so_does_who_waits(
    clients: Clients, models: Mapping[str, SlowModel]
) -> None:
    waiting = await apply(clients.mesh, "waited")
    assert "pending" in await waiting.line()
    response = asyncio.create_task(clients.create("killed", f"{SERVICE}/killed"))
    await reaches(clients, "killed", PENDING)
    clients.mesh.kill_part("manager")
    assert (await response).status_code == 503
    await is_told_to_wait(clients, "killed", "its models are being read or loaded")
    await reaches(clients, "killed", PENDING)
    models["killed"].open()
    await reaches(clients, "killed", READY)
    await serves(clients, "killed")
    models["waited"].open()
    code, out, err = await waiting.end()
    assert (code, out.splitlines()[0]) == (0, "waited  ready"), err
    await serves(clients, "waited")


async def test_what_cannot_be_loaded_has_failed_until_a_version_is_right(
    clients: Clients, models: Mapping[str, SlowModel]
) -> None:
    running = await apply(clients.mesh, "broken")
    assert "pending" in await running.line()
    running.process.kill()
    await running.end()
    models["broken"].open("broken")
    shown = await reaches(clients, "broken", FAILED)
    assert "the weights are broken" in shown["error"]["message"]
    await is_told_to_wait(clients, "broken", "it could not be made ready")
    folder = clients.mesh.models / "scikit" / "broken"
    models["broken"].open()
    (folder / "notes.txt").write_text("mended")  # another version of the model
    clients.mesh.trust(folder)
    await reaches(clients, "broken", READY)
    await serves(clients, "broken")


async def test_what_serves_goes_on_until_its_successor_is_ready(
    clients: Clients, models: Mapping[str, SlowModel]
) -> None:
    words = ("pipelines", "apply", "innocent", f"{SERVICE}/next", "--timeout", "3")
    code, _, err = await (await Hydro.start(clients.mesh, *words)).end()
    assert (code, "until then what was there serves" in err) == (1, True)
    shown = await get(clients, "innocent")
    assert (shown["state"], shown["pending"]["state"]) == (READY, PENDING)
    assert await clients.answers("innocent", [{"text": "a"}]) == [{"text": "a", "echo": "a?"}]
    models["next"].open()

    async def is_next() -> bool:
        (row,) = await clients.answers("innocent", [{"text": "a"}])
        return bool(row["echo"] == "a!")

    async def is_settled() -> bool:
        return "pending" not in await get(clients, "innocent")

    await until_true(is_next, PATIENCE_S, "the next one serves; no request fails meanwhile")
    # Envoy routes to it before the manager has heard so and kept it as the one that serves.
    await until_true(is_settled, PATIENCE_S, "nothing is pending")
    await clients.delete("innocent")
