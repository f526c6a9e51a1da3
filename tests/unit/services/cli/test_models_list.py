"""`hydro models list` tells which roots are away, and since when."""

from __future__ import annotations

import io
import json

import pytest

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro_envoy.address import Address
from hydro_services.cli import models
from hydro_services.cli.output import Output


@pytest.mark.parametrize("is_json", [False, True])
def test_roots_that_are_away_are_told(is_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    away = pb.Root(name="s3://bucket/p", error="ConnectionError: no answer")
    away.away_since.FromSeconds(1_700_000_000)
    listing = pb.ListModelsResponse(
        models=[pb.ModelVersion(model="m", version="1", digest="d" * 64, root="s3://bucket/p")],
        roots=[pb.Root(name="models"), away],
    )
    monkeypatch.setattr(models, "call_repository", lambda *_: listing)
    output = Output(is_json, io.StringIO(), io.StringIO())
    options = models.RepositoryOptions(Address("127.0.0.1", 1), is_json)
    assert models.list_models(options, output) == 0
    told = output.err.getvalue()  # type: ignore[attr-defined]
    assert told == (
        "s3://bucket/p cannot be listed since 2023-11-14T22:13:20Z, its models stay as they were:"
        " ConnectionError: no answer\n"
    )
    data = output.out.getvalue()  # type: ignore[attr-defined]
    assert json.loads(data)[0]["root"] == "s3://bucket/p" if is_json else data.startswith("m  1")
