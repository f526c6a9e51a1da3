"""What a user does, and sees."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import numpy as np
import pytest
import skops.io
import xgboost
from chains import CHAINS, OWN
from clients import JSON, NDJSON, Clients, Curl, frame, values
from patience import PATIENCE_S
from sklearn.datasets import load_iris
from whole_mesh import WholeMesh

from hydro.manager.v1 import manager_service_pb2
from hydro.serving.v1 import frame_pb2 as pb

pytestmark = pytest.mark.e2e

Rows = list[dict[str, Any]]


def curl(*words: str) -> Any:
    """What curl prints, as JSON."""
    done = subprocess.run(
        ["curl", "-s", *words], check=True, capture_output=True, timeout=PATIENCE_S
    )
    return json.loads(done.stdout)


def check_matches(sent: Rows, answers: Rows) -> None:
    """The first pair of listings is no match, the second is one."""
    assert len(answers) == len(sent)
    for row, answer in zip(sent, answers, strict=True):
        assert row.items() <= answer.items()
    assert [answer["prediction"] for answer in answers] == [0, 1]
    assert [answer["predictionLabel"] for answer in answers] == ["no", "yes"]
    (_, first), (_, second) = (answer["probability"] for answer in answers)
    assert first < 0.2
    assert second > 0.8


def test_requests_of_the_original_work_to_the_letter(
    mesh: WholeMesh, rows: Rows, tmp_path: Path
) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=1))
    manager, gateway, repository = (
        f"http://localhost:{mesh.address(part).rpartition(':')[2]}"
        for part in ("manager", "gateway", "repository")
    )
    body = (
        '{"name":"endpointML","transportType":"http", '
        '"chain":["serving-customscikit/pm_scikit","serving-localml-spark/pm_spark"]}'
    )
    created = curl(
        *("-H", "Content-Type: application/json", "-X", "POST", "-d", body),
        f"{manager}/api/v1/pipelines",
    )
    assert created["name"] == "endpointML"
    listed = curl(f"{manager}/api/v1/pipelines")["pipelines"]
    assert json.loads(body).items() <= next(p for p in listed if p["name"] == "endpointML").items()
    answers = curl(
        *("--request", "POST", "--url", f"{gateway}/api/v1/serve/endpointML"),
        *("--header", "content-type: application/json", "--data", f"@{tmp_path}/rows.json"),
    )
    check_matches(rows, answers)
    assert curl(f"{repository}/metadata/pm_scikit")["model"] == "pm_scikit"
    files = curl(f"{repository}/files/pm_spark")
    metadata = next(file for file in files if file.startswith("metadata/part-"))
    pipeline = curl(f"{repository}/download/pm_spark/{metadata}")
    assert pipeline["class"] == "org.apache.spark.ml.PipelineModel"


async def test_pipelines_are_got_listed_replaced_and_deleted(clients: Clients) -> None:
    url = f"{clients.mesh.urls['manager']}/api/v1/pipelines"
    body = {"name": "passing", "transportType": "grpc", "chain": ["serving-customscikit/moody"]}
    created = (await clients.http.post(url, json=body)).json()
    assert body.items() <= created.items()
    assert created["state"] == "PIPELINE_STATE_READY"
    assert (await clients.http.get(f"{url}/passing")).json() == created
    assert (await clients.answers("passing", [{"text": "a"}]))[0] == {"text": "a", "echo": "a"}
    replaced = await clients.http.put(f"{url}/passing", json={"chain": CHAINS["two"]})
    assert replaced.json()["chain"] == list(CHAINS["two"])
    assert replaced.json()["etag"] != created["etag"]
    assert (await clients.answers("passing", [{"text": "a"}]))[0]["length"] == 1
    assert (await clients.delete("passing")).status_code == 200
    assert (await clients.http.get(f"{url}/passing")).status_code == 404
    listed = (await clients.http.get(url)).json()["pipelines"]
    assert [pipeline["name"] for pipeline in listed] == sorted(CHAINS)


async def test_pipelines_are_managed_over_grpc_as_well(clients: Clients) -> None:
    listed = await clients.pipelines.ListPipelines(manager_service_pb2.ListPipelinesRequest())
    assert [pipeline.name for pipeline in listed.pipelines] == sorted(CHAINS)


async def test_rows_come_back_with_the_columns_of_every_stage(clients: Clients) -> None:
    sent = [{"text": text, "mine": {"deep": [number]}} for number, text in enumerate("abc")]
    echoed = [row | {"echo": row["text"]} for row in sent]
    assert await clients.answers("one", sent) == echoed
    measured = [row | {"length": 1} for row in echoed]
    assert await clients.answers("two", sent) == measured
    assert await clients.answers("three", sent) == [row | {"doubled": 2.0} for row in measured]


async def test_two_pairs_of_listings_are_told_apart(clients: Clients, rows: Rows) -> None:
    response = await clients.serve("endpointML", rows)
    assert response.headers["content-type"] == "application/json"
    check_matches(rows, response.json())


async def test_iris_is_classified(clients: Clients) -> None:
    models = (await clients.http.get(f"{clients.mesh.urls['repository']}/models")).json()["models"]
    found = next((model for model in models if model["model"] == "iris"), None)
    if found is None:
        pytest.skip("there is no model iris")
    names = [column["name"] for column in found["signature"]["inputs"]]
    created = await clients.create("iris", "serving-scikit/iris")
    assert created.status_code == 200, created.text
    flowers = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]
    sent = [dict(zip(names, flower, strict=True)) for flower in flowers]
    answers = await clients.answers("iris", sent)
    added = [answer.keys() - row.keys() for answer, row in zip(answers, sent, strict=True)]
    assert all(added)
    assert answers[0]["prediction"] != answers[1]["prediction"]
    assert (await clients.delete("iris")).status_code == 200


async def test_a_chain_crosses_three_frameworks(clients: Clients) -> None:
    """scikit-learn scales, XGBoost scores what it gave, and Spark decides by the score."""
    chain = ("serving-scikit/scaled", "serving-boosters/scaled_score", "serving-localml-spark/sure")
    created = await clients.create("crossing", *chain)
    assert created.status_code == 200, created.text
    frame = load_iris(as_frame=True).data
    frame = frame.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    answers = await clients.answers("crossing", frame.to_dict(orient="records"))
    scaler = skops.io.load(OWN / "scikit" / "scaled" / "model.skops")
    booster = xgboost.Booster(model_file=OWN / "boosters" / "scaled_score" / "model.ubj")
    scaled = scaler.transform(frame)
    scores = booster.predict(xgboost.DMatrix(scaled))
    assert [answer["transform"] for answer in answers] == scaled.tolist()
    assert [answer["score"] for answer in answers] == scores.tolist()
    assert [answer["sure"] for answer in answers] == (scores > 0.5).tolist()
    assert (await clients.delete("crossing")).status_code == 200


async def test_onnx_feeds_a_forest_of_another_library(clients: Clients) -> None:
    chain = ("serving-onnx/iris_onnx", "serving-boosters/iris_lightgbm")
    created = await clients.create("both", *chain)
    assert created.status_code == 200, created.text
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    flowers = ((5.1, 3.5, 1.4, 0.2), (6.3, 3.3, 6.0, 2.5))
    sent = [dict(zip(names, flower, strict=True)) for flower in flowers]
    answers = await clients.answers("both", sent)
    assert [answer["output_label"] for answer in answers] == ["setosa", "virginica"]
    assert [np.argmax(answer["prediction"]) for answer in answers] == [0, 2]
    assert (await clients.delete("both")).status_code == 200


@pytest.mark.parametrize("name", ["one", "two", "three", "endpointML"])
async def test_no_rows_are_answered_by_no_rows(clients: Clients, name: str) -> None:
    assert (await clients.serve(name, b"[]")).content == b"[]"
    assert (await clients.serve(name, b" [ ] ")).content == b"[]"
    lines = await clients.serve(name, b"", headers=NDJSON)
    assert (lines.status_code, lines.content) == (200, b"")


@pytest.mark.parametrize("name", ["one", "two", "three"])
async def test_ndjson_is_answered_by_ndjson(clients: Clients, name: str) -> None:
    body = b'{"text": "a"}\n\n{"text": "bc"}'
    response = await clients.serve(name, body, headers=NDJSON)
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["echo"] for line in response.text.splitlines()] == ["a", "bc"]


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("name", ["one", "two", "three"])
async def test_a_line_is_answered_before_the_next_is_sent(
    clients: Clients, name: str, version: str
) -> None:
    url = f"{clients.mesh.urls['gateway']}/api/v1/serve/{name}"
    client = await Curl.start(url, NDJSON, version)
    for text in ("a", "bb", "ccc"):
        await client.send(json.dumps({"text": text}).encode() + b"\n")
        assert (await client.line())["echo"] == text
    await client.send(b'{"text": "the last has no newline"}')
    assert json.loads(await client.rest())["echo"] == "the last has no newline"


async def test_a_part_of_a_line_waits_for_its_rest(clients: Clients) -> None:
    url = f"{clients.mesh.urls['gateway']}/api/v1/serve/two"
    client = await Curl.start(url, NDJSON)
    await client.send(b'{"text": "a"}\n{"te')
    assert (await client.line())["echo"] == "a"
    await client.send(b'xt": "b"}\n')
    assert (await client.line())["echo"] == "b"
    assert await client.rest() == b""


@pytest.mark.parametrize("name", ["one", "two", "three"])
async def test_predict_answers_a_frame_in_the_form_of_the_request(
    clients: Clients, name: str
) -> None:
    sent = frame(name, "a", "bc")
    sent.id = "mine"
    answer = await clients.predictions.Predict(sent)
    assert (answer.id, answer.table.rows) == ("mine", 2)
    assert values(answer, "text") == values(answer, "echo") == ["a", "bc"]
    if name == "three":
        assert values(answer, "length") == [1, 2]
        assert values(answer, "doubled") == [2.0, 4.0]


async def test_raw_bytes_are_answered_by_raw_bytes(clients: Clients) -> None:
    data = b"".join(len(text).to_bytes(4, "little") + text for text in (b"a", b"bc"))
    column = pb.Column(name="text", type=pb.DATA_TYPE_STRING, data=data)
    sent = pb.Frame(pipeline="two", table=pb.Table(rows=2, columns=[column]))
    answer = await clients.predictions.Predict(sent)
    found = {column.name: column for column in answer.table.columns}
    assert found["echo"].data == data
    assert not any(column.HasField("values") for column in found.values())
    assert found["length"].data == b"".join(n.to_bytes(8, "little") for n in (1, 2))


@pytest.mark.parametrize("name", ["one", "two", "three"])
async def test_a_frame_is_answered_before_the_next_is_sent(clients: Clients, name: str) -> None:
    stream = clients.predictions.PredictStream(timeout=PATIENCE_S)
    for text in ("a", "bb", "ccc"):
        sent = frame(name if text == "a" else "", text)  # the first message names the pipeline
        await stream.write(sent)
        answer = await stream.read()
        assert isinstance(answer, pb.Frame)
        assert values(answer, "echo") == [text]
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


@pytest.mark.parametrize("name", ["one", "three"])
async def test_frames_sent_at_once_are_answered_in_order(clients: Clients, name: str) -> None:
    texts = [f"text {number}" for number in range(3_000)]
    stream = clients.predictions.PredictStream(
        (frame(name, text) for text in texts), timeout=PATIENCE_S
    )
    assert [values(answer, "echo")[0] async for answer in stream] == texts


async def test_predict_takes_typed_json(clients: Clients) -> None:
    column = {"name": "text", "type": "DATA_TYPE_STRING", "values": {"strings": ["a", "bc"]}}
    url = f"{clients.mesh.urls['gateway']}/api/v1/predict/three"
    response = await clients.http.post(url, json={"table": {"rows": 2, "columns": [column]}})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    found = {each["name"]: each["values"] for each in response.json()["table"]["columns"]}
    assert found["echo"]["strings"] == ["a", "bc"]
    assert found["length"]["integers"] == ["1", "2"]  # 64 bits, as proto JSON has them
    assert found["doubled"]["doubles"] == [2.0, 4.0]


@pytest.mark.parametrize("name", ["one", "two", "three"])
async def test_ten_thousand_rows_are_answered_in_order(clients: Clients, name: str) -> None:
    texts = [str(number) for number in range(10_000)]
    answers = await clients.answers(name, [{"text": text} for text in texts])
    assert [answer["echo"] for answer in answers] == texts


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_five_megabytes_is_answered(
    clients: Clients, name: str, chunked: bool
) -> None:
    texts = [str(number) * 1_000 for number in range(1_800)]
    body = json.dumps([{"text": text} for text in texts]).encode()
    assert len(body) > 5_000_000

    async def pieces() -> Any:
        for at in range(0, len(body), 100_000):
            yield body[at : at + 100_000]

    url = f"{clients.mesh.urls['gateway']}/api/v1/serve/{name}"
    content = pieces() if chunked else body
    response = await clients.http.post(url, content=content, headers=JSON)
    assert [answer["echo"] for answer in response.json()] == texts


async def test_http2_without_tls_is_served(clients: Clients) -> None:
    async with httpx.AsyncClient(http1=False, http2=True) as http:
        url = f"{clients.mesh.urls['gateway']}/api/v1/serve/two"
        response = await http.post(url, json=[{"text": "a"}])
    assert (response.http_version, response.json()[0]["length"]) == ("HTTP/2", 1)


async def test_many_clients_at_once_get_their_own_answers(clients: Clients, rows: Rows) -> None:
    async def over_http(client: int, turn: int) -> None:
        texts = [f"{client} {turn} {row}" for row in range(turn + 1)]
        answers = await clients.answers("three", [{"text": text} for text in texts])
        assert [answer["echo"] for answer in answers] == texts

    async def over_grpc(client: int, turn: int) -> None:
        texts = [f"{client} {turn} {row}" for row in range(turn + 1)]
        answer = await clients.predictions.Predict(frame("two", *texts), timeout=PATIENCE_S)
        assert values(answer, "echo") == texts

    async def over_stream(client: int, turn: int) -> None:
        texts = [f"{client} {turn} {row}" for row in range(20)]
        sent = (frame("two", text) for text in texts)
        stream = clients.predictions.PredictStream(sent, timeout=PATIENCE_S)
        assert [values(answer, "echo")[0] async for answer in stream] == texts

    async def a_match(client: int, turn: int) -> None:
        check_matches(rows, await clients.answers("endpointML", rows))

    kinds = (over_http, over_grpc, over_stream, a_match)

    async def run(client: int) -> None:
        for turn in range(8):
            await kinds[(client + turn) % len(kinds)](client, turn)

    async with asyncio.TaskGroup() as tasks:
        for client in range(32):
            tasks.create_task(run(client))
