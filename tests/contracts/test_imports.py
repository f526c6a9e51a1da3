"""What must be quick to start must not import what is slow to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"envoy_data_plane", "grpc", "hydro", "numpy", "pyarrow", "sklearn", "skops"}
HELP = """
import contextlib, io, sys
from hydro_services.cli.main import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main([*sys.argv[1:], "--help"])
print(*sys.modules)
"""


def imported(*words: str) -> set[str]:
    """The modules that `hydro WORDS --help` has imported."""
    command = [sys.executable, "-c", HELP, *words]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_hydro_models_imports_numpy_alone() -> None:
    code = "import hydro_models, hydro_models.kinds as k, sys; [x.load() for x in k.KINDS]"
    command = [sys.executable, "-c", f"{code}; print(*sys.modules)"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    others = {"hydro_runtimes", "hydro_services", "pandas", "scipy", "cloudpickle", "orjson"}
    assert "numpy" in found
    assert set(found) & ((HEAVY - {"numpy"}) | others) == set()


def test_help_imports_nothing_heavy() -> None:
    assert imported() & HEAVY == set()


@pytest.mark.parametrize("noun", ["up", "predict", "pipelines", "models"])
def test_help_of_a_command_imports_no_model_library(noun: str) -> None:
    assert imported(noun) & (HEAVY - {"grpc", "hydro"}) == set()
