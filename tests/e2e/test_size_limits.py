"""What is within the limit of a request and becomes too large on its way."""

from __future__ import annotations

import json

import pytest
from clients import NDJSON, Clients

from hydro_envoy.mesh import MAX_MESSAGE_BYTES
from hydro_services.runtime.wire_formats.frames import MAX_JSON_VALUES

pytestmark = pytest.mark.e2e


async def test_typed_json_of_many_values_is_413(clients: Clients) -> None:
    rows = MAX_JSON_VALUES // 2
    columns = [
        {"name": "text", "type": "DATA_TYPE_STRING", "values": {"strings": ["x"] * rows}},
        {"name": "other", "type": "DATA_TYPE_INT64", "values": {"integers": [1] * rows}},
    ]
    url = f"{clients.mesh.urls['gateway']}/api/v1/predict/one"
    response = await clients.http.post(url, json={"table": {"rows": rows, "columns": columns}})
    assert response.status_code == 413, response.text
    assert response.json()["status"] == "RESOURCE_EXHAUSTED"
    assert f"want at most {MAX_JSON_VALUES} in a frame as JSON" in response.json()["message"]


async def test_a_row_that_outgrows_the_limit_between_stages_fails_alone(clients: Clients) -> None:
    """Both stages take it alone; what the first adds to it is too much."""
    large, small = "x" * (MAX_MESSAGE_BYTES // 2 + 1000), "y"
    body = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in (small, large, small))
    answer = await clients.serve("two", body, headers=NDJSON)
    assert answer.status_code == 200
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row.get("length") for row in rows] == [1, None, 1]
    assert rows[1]["error"]["reason"] == "TOO_LARGE"
    answers = await clients.answers("two", [{"text": text} for text in (small, large, small)])
    assert [row.get("length") for row in answers] == [1, None, 1]
