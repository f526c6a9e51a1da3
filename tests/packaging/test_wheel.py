"""The wheel, as a user has it: in an environment of its own, used in an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from whole_mesh import ROOT

pytestmark = pytest.mark.packaging

PORTS = {f"HYDRO_{part}_PORT": "0" for part in ("MANAGER", "GATEWAY", "REPOSITORY", "XDS")}


def ran(*command: str | Path, cwd: Path = ROOT, variables: Mapping[str, str] | None = None) -> str:
    """What a command printed; fails with that if it fails."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and k[:6] != "HYDRO_"}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**kept, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    ran(sys.executable, "-m", "pip", "wheel", "--quiet", *options, ".")
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_example_models_and_rows(wheel: Path) -> None:
    folders = ("models/*/**", ":!models/training/**", "models/trusted.txt", "examples/rows.json")
    tracked = ran("git", "ls-files", *folders)
    wanted = {
        f"hydro_services/examples/{path.removeprefix('examples/')}": (ROOT / path).read_bytes()
        for path in tracked.splitlines()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "/examples/" in name]
        assert {name: archive.read(name) for name in names} == wanted
    assert len(wanted) > 20


def interpreters(version: str) -> Iterator[str]:
    """Those of a version that may be on this machine."""
    yield from filter(None, [shutil.which(f"python{version}")])
    yield from map(str, Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    managed = Path("~/.local/share/uv/python").expanduser()
    yield from map(str, managed.glob(f"*-{version}*/bin/python"))


def works(python: str) -> bool:
    """pyenv has commands for versions that are there but not chosen; those fail."""
    done = subprocess.run([python, "-c", "import venv"], capture_output=True)
    return done.returncode == 0


def index() -> Mapping[str, str]:
    """The one that pip is told of, for uv."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, capture_output=True, text=True)
    return {"UV_DEFAULT_INDEX": done.stdout.strip()} if done.returncode == 0 else {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", ["3.13"])  # all other tests run on 3.11
def test_demo_and_init_run_in_an_empty_folder(wheel: Path, tmp_path: Path, version: str) -> None:
    python = next(filter(works, interpreters(version)), None)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    environment, empty = tmp_path / "environment", tmp_path / "empty"
    ran("uv", "venv", "--quiet", "--python", python, environment)
    ran(
        *("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", environment),
        *("--constraint", ROOT / "requirements/all.txt"),
        f"hydro-serving[envoy,scikit,spark] @ {wheel.as_uri()}",
        variables=index(),
    )
    empty.mkdir()
    hydro = environment / "bin" / "hydro"
    answers = json.loads(ran(hydro, "demo", "--once", "--json", cwd=empty, variables=PORTS))
    assert [answer["predictionLabel"] for answer in answers] == ["no", "yes"]
    assert sorted(path.name for path in empty.iterdir()) == [".hydro"]
    ran(hydro, "init", cwd=empty)
    model = empty / "models/python/title_length"
    scored = ran(hydro, "score", model, empty / "title_length.json", "--trust", cwd=empty)
    assert [json.loads(line)["length"] for line in scored.splitlines()] == [9, 8]
