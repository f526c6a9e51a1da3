from __future__ import annotations

from pathlib import Path

import pytest

from hydro_services.errors import FailedPrecondition
from hydro_services.up import home


def test_who_runs_on_the_same_machine_finds_models_and_trust(tmp_path: Path) -> None:
    data = tmp_path / "a b%ü"
    models, trusted = tmp_path / "models", tmp_path / "trusted.txt"
    home.write(data, models, trusted)
    assert (data / home.MESH_FILE).stat().st_mode & 0o077 == 0
    assert home.read(home.url(data)) == home.Home(models, trusted)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        pytest.param("", "does not run this mesh; give its folder of models", id="parts"),
        pytest.param("file://elsewhere.example/d", "elsewhere.example; run this there", id="far"),
        pytest.param(home.url(Path("/nowhere")), "No such file or directory; give", id="gone"),
    ],
)
def test_others_are_told_the_way_out(url: str, wanted: str) -> None:
    with pytest.raises(FailedPrecondition, match=wanted):
        home.read(url)
