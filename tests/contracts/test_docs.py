"""What the documents show is what the manager takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from hydro.manager.v1 import pipeline_pb2
from hydro_services.manager.domain import conversion

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "policies.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["limits", "access", "failures", "traffic"])
def test_example_is_a_pipeline(block: str) -> None:
    assert (
        conversion.spec(ParseDict(json.loads(block), pipeline_pb2.Pipeline())).name == "endpointML"
    )
