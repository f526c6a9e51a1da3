from pathlib import Path

import pytest
import wasmtime

from hydro_envoy.resources import routes

SOURCES = sorted((Path(__file__).parents[2] / "envoy" / "hydro_envoy" / "resources").glob("*.wat"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_committed_wasm_is_what_its_source_makes(source: Path) -> None:
    assert wasmtime.wat2wasm(source.read_text()) == source.with_suffix(".wasm").read_bytes()


def test_what_the_filter_holds_is_what_routes_let_it_hold() -> None:
    (source,) = (path for path in SOURCES if path.stem == routes.WHOLE_ANSWER)
    assert f"(i32.const 0x{routes.HELD_BYTES:x})" in source.read_text()
