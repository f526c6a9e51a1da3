"""The table of wire formats agrees with itself and with what the gateway knows of it."""

import re
from pathlib import Path

import pytest
from google.api import httpbody_pb2

import hydro_envoy
from hydro.serving.v1 import prediction_service_pb2
from hydro_runtimes.evaluator import Signature
from hydro_services import errors
from hydro_services.runtime.wire_formats import ndjson, table
from hydro_services.runtime.wire_formats.frames import GRPC
from hydro_services.runtime.wire_formats.table import FORMATS, SERVE
from hydro_services.runtime.wire_formats.wire_format import ReadingStage

GATEWAY = Path(hydro_envoy.__path__[0]) / "resources" / "gateway.lua"


def test_a_method_takes_messages_or_bodies() -> None:
    for method in table.known_methods():
        kinds = [kind for of, kind in FORMATS if of == method]
        assert kinds == [GRPC] or GRPC not in kinds


def test_the_encoding_of_a_frame_tells_one_format_of_a_method() -> None:
    bodies = {(method, found) for (method, kind), found in FORMATS.items() if kind != GRPC}
    assert len({(method, found.encoding) for method, found in bodies}) == len(bodies)


def test_the_gateway_lets_answers_to_all_kinds_of_ndjson_go_line_by_line() -> None:
    (listed,) = re.findall(r"local NDJSON = \{(.*)\}", GATEWAY.read_text())
    prefixes = tuple(re.findall(r'"(.*?)"', listed))
    kinds = {kind for (of, kind), found in FORMATS.items() if found is ndjson.FORMAT}
    assert {kind for _, kind in FORMATS if kind.startswith(prefixes)} == kinds
    assert set(prefixes) <= kinds


@pytest.mark.parametrize("method", ["", SERVE + "s"])
def test_a_method_that_is_not_in_the_table_is_told(method: str) -> None:
    with pytest.raises(errors.Unimplemented, match="no method"):
        table.open_encoder(method)


def test_a_content_type_that_a_method_does_not_take_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FORMATS, ("/m", "text/x"), ndjson.FORMAT)
    decoder = table.open_decoder("/m", ReadingStage(Signature((), ()), "s/m", 100))
    body = httpbody_pb2.HttpBody(content_type="text/y")
    with pytest.raises(errors.InvalidArgument, match="got content type 'text/y', want text/x"):
        decoder.feed([prediction_service_pb2.ServeRequest(body=body).SerializeToString()])
