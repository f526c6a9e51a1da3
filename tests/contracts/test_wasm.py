from pathlib import Path

import pytest
import wasmtime

SOURCES = sorted((Path(__file__).parents[2] / "envoy" / "hydro_envoy").glob("*.wat"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_committed_wasm_is_what_its_source_makes(source: Path) -> None:
    assert wasmtime.wat2wasm(source.read_text()) == source.with_suffix(".wasm").read_bytes()
