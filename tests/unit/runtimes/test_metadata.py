import json
from typing import Any

import pytest

from hydro_runtimes import metadata
from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field, Signature

OUTPUT = {"name": "prediction", "type": "float64"}


def text(*inputs: Any) -> str:
    return json.dumps({"model": "m", "inputs": list(inputs), "outputs": [OUTPUT]})


def test_a_signature_comes_back_as_it_was_written() -> None:
    signature = Signature(
        (Field("x", DataType.FLOAT64, (-1,), nullable=True), Field("s", DataType.STRING)),
        (Field("y", DataType.INT64, (), replaces=True, nominal=("no", "yes")),),
    )
    assert metadata.parse_signature(json.dumps(metadata.make_document("m", signature))) == signature


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param("[1", "not JSON", id="broken"),
        pytest.param("[" * 100_000, "not JSON", id="deep"),
        pytest.param("[]", "an array, want an object", id="array"),
        pytest.param("{}", "'inputs' is missing", id="no inputs"),
        pytest.param(text(), "'inputs' has 0 columns", id="empty"),
        pytest.param(text("x"), r"inputs\[0\] is a text, want an object", id="text"),
        pytest.param(text({"type": "float64"}), r"inputs\[0\].name is missing", id="no name"),
        pytest.param(text({"name": "x", "type": "double"}), 'type is "double"', id="type"),
        pytest.param(text({**OUTPUT, "shape": [1.5]}), "shape is", id="shape"),
        pytest.param(text({**OUTPUT, "shape": [1] * 99}), "shape is", id="dimensions"),
        pytest.param(text({**OUTPUT, "nullable": 1}), "nullable is 1", id="flag"),
        pytest.param(text({**OUTPUT, "nominal": [1]}), "nominal is", id="nominal"),
        pytest.param(text({**OUTPUT, "color": 1}), "has 'color'", id="unknown key"),
        pytest.param(text(OUTPUT, OUTPUT), "more than once", id="twice"),
        pytest.param(" " * (metadata.MAX_BYTES + 1), "bytes", id="large"),
    ],
)
def test_what_is_wrong_is_told(given: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metadata.parse_signature(given)
