"""Parts die, pipelines change under load, and clients hardly notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import grpc
import httpx
import pytest
from chains import CHAINS, create_chains, started
from clients import Clients, connect, frame, refused, steady_load, values
from patience import PATIENCE_S
from whole_mesh import WholeMesh, until

from hydro.serving.v1 import frame_pb2 as pb

pytestmark = pytest.mark.e2e

ROWS = [{"text": "a"}, {"text": "bc"}]
ENDPOINTS = 4


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeMesh]:
    """A mesh to be disturbed, with two instances of one service."""
    running = started(
        tmp_path_factory.mktemp("faulty"),
        "--runtime=serving-customscikit",
        "--runtime=serving-localml-spark=2",
    )
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
async def clients(faulty: WholeMesh) -> AsyncIterator[Clients]:
    """Of the mesh to be disturbed, once all its parts are well."""
    async with connect(faulty) as connected:
        await whole(connected)
        await create_chains(connected)
        await until_true(partial(answers_all, connected), "all pipelines answer")
        yield connected


async def until_true(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Waits for what has to be asked for."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while not await condition():
        assert asyncio.get_running_loop().time() < end, f"not within {PATIENCE_S:g} s: {what}"
        await asyncio.sleep(0.02)


async def answers_all(clients: Clients) -> bool:
    responses = [await clients.serve(name, ROWS) for name in CHAINS]
    return all(response.status_code == 200 for response in responses)


async def whole(clients: Clients) -> None:
    """Waits until all endpoints are ready and all pipelines that there are serve."""

    async def is_whole() -> bool:
        response = await clients.http.get(f"{clients.mesh.urls['manager']}/api/v1/pipelines")
        if response.status_code != 200 or len(await ready(clients)) != ENDPOINTS:
            return False
        return all(p["state"] == "PIPELINE_STATE_READY" for p in response.json()["pipelines"])

    await until_true(is_whole, "all is well")


async def ready(clients: Clients) -> dict[str, str]:
    """The incarnation of each ready endpoint."""
    response = await clients.http.get(f"{clients.mesh.urls['manager']}/api/v1/services")
    if response.status_code != 200:
        return {}
    endpoints = [e for s in response.json()["services"] for e in s["endpoints"]]
    return {e["instance"]: e["incarnation"] for e in endpoints if e["ready"]}


async def kill_endpoint(clients: Clients, part: str) -> None:
    """kill -9 of one process of the part; answers when it is back."""
    before = await ready(clients)
    assert len(before) == ENDPOINTS
    clients.mesh.kill_part(part)

    async def is_back() -> bool:
        after = await ready(clients)
        return after.keys() == before.keys() and after != before

    await until_true(is_back, f"{part} is back")


async def ask(clients: Clients, name: str = "two") -> None:
    """One request over HTTP, whose answer has to be right."""
    answers = await clients.answers(name, ROWS)
    assert [answer["echo"].lstrip(">") for answer in answers] == ["a", "bc"]


async def ask_grpc(clients: Clients) -> None:
    answer = await clients.predictions.Predict(frame("two", "a", "bc"), timeout=PATIENCE_S)
    assert values(answer, "length") == [1, 2]


async def classify(clients: Clients) -> None:
    rows = json.loads((Path(__file__).parents[2] / "examples" / "rows.json").read_text())
    answers = await clients.answers("endpointML", rows)
    assert [answer["predictionLabel"] for answer in answers] == ["no", "yes"]


async def gone(mesh: WholeMesh, part: str, pid: int) -> None:
    """Waits until the part runs again, as another process."""
    await until(
        lambda: set(mesh.pids(part)) - {pid} and pid not in mesh.pids(part), PATIENCE_S, part
    )


@pytest.mark.parametrize("part", ["serving-customscikit", "serving-localml-spark"])
async def test_runtime_killed_between_requests_costs_none(clients: Clients, part: str) -> None:
    await kill_endpoint(clients, part)
    for _ in range(20):
        await classify(clients)
        await ask_grpc(clients)


async def test_one_of_two_instances_killed_under_load_costs_no_request(clients: Clients) -> None:
    async with steady_load(partial(classify, clients)) as load:
        await load.more(20)
        await kill_endpoint(clients, "serving-localml-spark")
        await load.more(100)
    assert load.failures == []


@pytest.mark.parametrize("name", ["one", "two"])
async def test_request_whose_runtime_is_killed_is_answered_by_the_next(
    clients: Clients, name: str, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    slow = asyncio.create_task(clients.answers(name, [{"text": f"hang-once {begun}"}]))
    await until(begun.exists, PATIENCE_S, "the model has begun")
    clients.mesh.kill_part("serving-customscikit")
    assert (await slow)[0]["echo"] == f"hang-once {begun}"


@pytest.mark.parametrize("name", ["one", "two"])
async def test_request_that_no_runtime_survives_is_unavailable_soon(
    clients: Clients, name: str, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    text = f"hang {begun}"
    slow = asyncio.create_task(clients.serve(name, [{"text": text}]))
    slow_grpc = asyncio.create_task(refused(clients.predictions.Predict(frame(name, text))))
    await until(begun.exists, PATIENCE_S, "the model has begun")
    kills = 0
    # The process that comes back is given the requests again, and dies again.
    while not (slow.done() and slow_grpc.done()):
        await until(
            lambda: begun.exists() or (slow.done() and slow_grpc.done()), PATIENCE_S, "its end"
        )
        if begun.exists():
            begun.unlink()
            clients.mesh.kill_part("serving-customscikit")
            kills += 1
        assert kills < 30
    response = await slow
    assert (response.status_code, response.json()["code"]) == (503, 14), response.text
    assert (await slow_grpc).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", ["one", "two"])
async def test_stream_whose_runtime_is_killed_breaks_at_once(
    clients: Clients, name: str, tmp_path: Path
) -> None:
    stream = clients.predictions.PredictStream(timeout=PATIENCE_S)
    await stream.write(frame(name, "a"))
    assert isinstance(await stream.read(), pb.Frame)
    begun = tmp_path / "begun"
    await stream.write(frame("", f"hang {begun}"))
    await until(begun.exists, PATIENCE_S, "the model has begun")
    clients.mesh.kill_part("serving-customscikit")
    async with asyncio.timeout(5):
        error = await refused(stream.read())
    assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)


async def test_manager_killed_serving_goes_on_and_it_comes_back_with_all(clients: Clients) -> None:
    url = f"{clients.mesh.urls['manager']}/api/v1/pipelines"
    before = [pipeline["name"] for pipeline in (await clients.http.get(url)).json()["pipelines"]]
    asking = (partial(ask, clients), partial(ask_grpc, clients), partial(classify, clients))
    async with steady_load(*asking) as load:
        await load.more(20)
        pid = clients.mesh.kill_part("manager")
        await load.more(100)
        await gone(clients.mesh, "manager", pid)
        await whole(clients)
        await load.more(100)
    assert load.failures == []
    after = (await clients.http.get(url)).json()["pipelines"]
    assert [pipeline["name"] for pipeline in after] == before
    assert (await clients.create("one", *CHAINS["one"])).status_code == 200


async def test_repository_killed_serving_goes_on(clients: Clients) -> None:
    async with steady_load(partial(ask, clients), partial(classify, clients)) as load:
        await load.more(20)
        await kill_endpoint(clients, "repository")
        await load.more(60)
    assert load.failures == []


async def test_envoy_killed_comes_back_by_itself(clients: Clients) -> None:
    pid = clients.mesh.kill_part("envoy")
    await gone(clients.mesh, "envoy", pid)
    async with connect(clients.mesh) as fresh:

        async def is_answered() -> bool:
            with contextlib.suppress(httpx.TransportError):  # until its port is open
                return await answers_all(fresh)
            return False

        await until_true(is_answered, "Envoy is back")
        await ask_grpc(fresh)


async def test_deleted_pipeline_is_404_and_its_streams_finish(clients: Clients) -> None:
    await clients.create("doomed", *CHAINS["two"])
    stream = clients.predictions.PredictStream(timeout=PATIENCE_S)
    await stream.write(frame("doomed", "a"))
    first = await stream.read()
    assert isinstance(first, pb.Frame)
    assert (await clients.delete("doomed")).status_code == 200
    response = await clients.serve("doomed", ROWS)
    assert response.status_code == 404
    assert "doomed" in response.json()["message"]
    error = await refused(clients.predictions.Predict(frame("doomed", "a")))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    for text in ("bb", "ccc"):
        await stream.write(frame("", text))
        answer = await stream.read()
        assert isinstance(answer, pb.Frame)
        assert values(answer, "length") == [len(text)]
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_pipeline_replaced_under_load_costs_no_request(clients: Clients) -> None:
    await clients.create("changing", *CHAINS["two"])
    async with steady_load(partial(ask, clients, "changing")) as load:
        for chain in (CHAINS["three"], CHAINS["one"], CHAINS["two"]) * 3:
            await load.more(10)
            response = await clients.create("changing", *chain)
            assert response.status_code == 200, response.text
            answer = (await clients.answers("changing", ROWS))[0]
            assert ("length" in answer, "doubled" in answer) == (len(chain) > 1, len(chain) > 2)
        await load.more(10)
    assert load.failures == []
    assert (await clients.delete("changing")).status_code == 200


async def test_a_request_right_after_creation_never_fails(clients: Clients) -> None:
    for number in range(30):
        name = f"fresh{number}"
        chain = CHAINS[("one", "two", "three", "endpointML")[number % 4]]
        assert (await clients.create(name, *chain)).status_code == 200
        answers = await clients.serve(name, [{"text": "a"}])
        assert answers.status_code == 200, answers.text
        assert (await clients.delete(name)).status_code == 200
        assert (await clients.serve(name, ROWS)).status_code == 404


async def test_a_changed_model_takes_over_under_load(clients: Clients) -> None:
    mesh = clients.mesh
    folder = mesh.models / "scikit" / "moody"
    seen: list[str] = []

    async def watch() -> None:
        answers = await clients.answers("two", ROWS)
        seen.append(answers[0]["echo"])

    async with steady_load(watch, partial(ask, clients, "one")) as load:
        await load.more(20)
        changed = mesh.folder / "changed"  # trusted before it is there, as a deployment would
        await asyncio.to_thread(copy_with_prefix, folder, changed, ">")
        await asyncio.to_thread(mesh.trust, changed)
        (folder / "prefix.txt").write_text(">")
        await until(lambda: seen[-1] == ">a", PATIENCE_S, "the new model answers")
        await load.more(40)
    assert load.failures == []
    assert set(seen) == {"a", ">a"}
    first_new = seen.index(">a")
    assert "a" not in seen[first_new + 8 :]  # but for those under way
    (folder / "prefix.txt").write_text("")

    async def is_back() -> bool:
        return bool((await clients.answers("two", ROWS))[0]["echo"] == "a")

    await until_true(is_back, "the old model answers")


def copy_with_prefix(folder: Path, to: Path, prefix: str) -> None:
    to.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            (to / file.name).write_bytes(file.read_bytes())
    (to / "prefix.txt").write_text(prefix)


async def test_ctrl_c_under_load_lets_requests_under_way_finish(tmp_path: Path) -> None:
    mesh = started(tmp_path, "--runtime=serving-customscikit")
    try:
        async with connect(mesh) as clients:
            assert (await clients.create("two", *CHAINS["two"])).status_code == 200
            async with steady_load(partial(ask, clients), partial(ask_grpc, clients)) as load:
                await load.more(20)
                begun = tmp_path / "begun"
                slow = asyncio.create_task(clients.answers("two", [{"text": f"pause {begun}"}]))
                await until(begun.exists, PATIENCE_S, "the model has begun")
                mesh.interrupt()
                assert (await slow)[0]["length"] == len(f"pause {begun}")
                await until(lambda: load.failures, PATIENCE_S, "no new requests are taken")
        assert await asyncio.to_thread(mesh.wait) == 0
        mesh.wait_until_gone()
        # Whoever connects anew is refused; nobody is answered that a part is missing, nor cut off.
        cut = ("StatusCode.INTERNAL", "is unavailable", "AssertionError", "Stream removed")
        assert [each for each in load.failures if any(text in each for text in cut)] == []
    finally:
        mesh.kill()


async def test_kill_9_under_load_leaves_no_process(tmp_path: Path) -> None:
    mesh = started(tmp_path, "--runtime=serving-customscikit")
    async with connect(mesh) as clients:
        assert (await clients.create("two", *CHAINS["two"])).status_code == 200
        async with steady_load(partial(ask, clients)) as load:
            await load.more(20)
            assert len(mesh.processes()) >= 5
            mesh.kill()
            await until(lambda: load.failures, PATIENCE_S, "the mesh is gone")
    mesh.wait()
    mesh.wait_until_gone()
