"""Models that end their process, hold it or raise what they should not: what it costs others."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from chains import started
from clients import Clients, connect, frame, refused, values
from patience import PATIENCE_S
from whole_mesh import WholeMesh, until

from hydro.serving.v1 import frame_pb2 as pb

SERVICE = "serving-customscikit"
WILD = Path(__file__).parent / "wild"
ENDS = ("abort", "segfault", "exit", "kill", "thread")
PLACES = {
    "alone": ("{}",),
    "first": ("{}", f"{SERVICE}/innocent"),
    "last": (f"{SERVICE}/innocent", "{}"),
}
KILLERS = (
    *(f"{end}-{place}" for end in ENDS for place in PLACES),
    *("grpc", "hold", "neighbours", "raises", "again", "stream", "pool"),
)
"""A model for each test: what one did is no other's fault."""


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeMesh]:
    folder = tmp_path_factory.mktemp("wild")
    for name in KILLERS:
        model = folder / "killers" / "scikit" / name
        shutil.copytree(WILD / "scikit" / "killer", model)
        metadata = model / "metadata.json"
        metadata.write_text(metadata.read_text().replace("killer", name))
    models = [WILD, folder / "killers"]
    mesh = started(folder, f"--runtime={SERVICE}=2", models=models)
    try:
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture
async def clients(wild: WholeMesh) -> AsyncIterator[Clients]:
    """Of a mesh with all its processes."""
    async with connect(wild) as found:
        await until_true(lambda: is_whole(found), found)
        response = await found.create("harmless", f"{SERVICE}/innocent")
        assert response.status_code == 200, response.text
        yield found


async def is_whole(clients: Clients) -> bool:
    response = await clients.http.get(f"{clients.mesh.urls['manager']}/api/v1/services")
    endpoints = [e for s in response.json()["services"] for e in s.get("endpoints", [])]
    return sum(e.get("ready", False) for e in endpoints) == 3 and len(runtimes(clients.mesh)) == 2


async def until_true(condition: Callable[[], Awaitable[bool]], clients: Clients) -> None:
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while not await condition():
        assert asyncio.get_running_loop().time() < end, clients.mesh.log
        await asyncio.sleep(0.1)


async def piped(clients: Clients, model: str, place: str = "alone") -> str:
    """A pipeline with a killer."""
    chain = [stage.format(f"{SERVICE}/{model}") for stage in PLACES[place]]
    response = await clients.create(f"{model}-{place}", *chain)
    assert response.status_code == 200, response.text
    return f"{model}-{place}"


def runs(mesh: WholeMesh, text: str) -> int:
    file = mesh.folder / "runs"
    lines = file.read_text().splitlines() if file.exists() else []
    return sum(line.startswith(text) for line in lines)


def runtimes(mesh: WholeMesh) -> set[int]:
    """Both have the same name, as far as Linux keeps it."""
    return {*mesh.pids(f"{SERVICE}-1")}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("end", ENDS)
async def test_who_ends_its_process_ends_one(clients: Clients, place: str, end: str) -> None:
    pipeline = await piped(clients, f"{end}-{place}", place)
    before = runtimes(clients.mesh)
    (row,) = await clients.answers(pipeline, [{"text": f"{end} {place}"}])
    assert row["error"]["reason"] == "MODEL_FAILED", row
    assert "ended its process" in row["error"]["message"]
    assert runs(clients.mesh, f"{end} {place}") == 2
    assert len(before & runtimes(clients.mesh)) == 1
    assert await clients.answers("harmless", [{"text": "a"}]) == [{"text": "a", "echo": "a?"}]


async def test_by_grpc_too(clients: Clients) -> None:
    pipeline = await piped(clients, "grpc")
    answer = await clients.predictions.Predict(frame(pipeline, "abort grpc"))
    assert "SIGABRT" in answer.errors[0].status.message
    assert runs(clients.mesh, "abort grpc") == 2


async def test_who_is_evaluated_with_one_that_kills_is_answered(clients: Clients) -> None:
    pipeline = await piped(clients, "neighbours")
    texts = ["slow 0", "abort x", *(f"well {number}" for number in range(30))]
    found = await asyncio.gather(*(clients.answers(pipeline, [{"text": t}]) for t in texts))
    for text, (row,) in zip(texts, found, strict=True):
        if text == "abort x":
            assert "SIGABRT" in row["error"]["message"]
        else:
            assert row == {"text": text, "answer": f"{text}!"}
    assert runs(clients.mesh, "abort x") == 2


WORDS = ("interrupt", "leave", "generator", "cancel", "deep", "memory", "stop")


@pytest.mark.parametrize("place", ["alone", "first"])
async def test_what_it_raises_is_its_own_failure(clients: Clients, place: str) -> None:
    pipeline = await piped(clients, "raises", place)
    before = runtimes(clients.mesh)
    for word in WORDS:
        for _ in range(2):  # in the model's thread, and on the loop
            well, row = await clients.answers(pipeline, [{"text": "a"}, {"text": word}])
            assert well["answer"] == "a!"
            assert row["error"]["reason"] == "MODEL_FAILED"
            assert await clients.answers("harmless", [{"text": "a"}])
    assert runtimes(clients.mesh) == before


async def test_who_has_a_pool_of_processes_ends_none_of_the_mesh(clients: Clients) -> None:
    pipeline = await piped(clients, "pool")
    before = runtimes(clients.mesh)
    for _ in range(6):
        (row,) = await clients.answers(pipeline, [{"text": "pool"}])
        assert row == {"text": "pool", "answer": "pool!"}
    assert runtimes(clients.mesh) == before
    assert await is_whole(clients)


async def test_who_kills_again_and_again_is_out_and_the_others_serve_on(clients: Clients) -> None:
    pipeline = await piped(clients, "again")
    for _ in range(6):
        await until_true(lambda: is_whole(clients), clients)
        response = await clients.serve(pipeline, [{"text": "abort again"}])
        assert await clients.answers("harmless", [{"text": "a"}])
        if response.status_code != 200:
            break
    assert response.status_code == 400, response.text
    assert "MODEL_SUSPENDED" in response.text
    assert "again:1@" in response.text
    assert runs(clients.mesh, "abort again") <= 6

    async def is_shown() -> bool:
        url = f"{clients.mesh.urls['manager']}/api/v1/pipelines/{pipeline}"
        shown = (await clients.http.get(url)).json()
        has_reason = "has ended its process 3 times" in json.dumps(shown)
        return shown["state"] == "PIPELINE_STATE_FAILED" and has_reason

    await until_true(is_shown, clients)
    await until_true(lambda: is_whole(clients), clients)
    assert await clients.answers("harmless", [{"text": "a"}])
    error = await refused(clients.predictions.Predict(frame(pipeline, "well")))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_stream_that_kills_ends_one_process(clients: Clients) -> None:
    pipeline = await piped(clients, "stream")
    before = runtimes(clients.mesh)
    stream = clients.predictions.PredictStream()
    await stream.write(frame(pipeline, "a"))
    answer = await stream.read()
    assert isinstance(answer, pb.Frame)
    assert values(answer, "answer") == ["a!"]
    await stream.write(frame(pipeline, "abort stream"))
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()
    assert runs(clients.mesh, "abort stream") == 1
    assert len(before & runtimes(clients.mesh)) == 1
    await until(lambda: '"model": "stream:1' in clients.mesh.log, PATIENCE_S, "it is noted")


async def test_who_holds_the_interpreter_holds_one_process(clients: Clients) -> None:
    pipeline = await piped(clients, "hold")
    before = runtimes(clients.mesh)
    (row,) = await clients.answers(pipeline, [{"text": "hold"}])
    assert "said nothing" in row["error"]["message"]
    assert runs(clients.mesh, "hold") == 2
    assert await clients.answers("harmless", [{"text": "a"}]) == [{"text": "a", "echo": "a?"}]
    await until_true(lambda: is_whole(clients), clients)
    assert len(before & runtimes(clients.mesh)) == 1, "the one that is held is replaced"
