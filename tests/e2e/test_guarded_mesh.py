"""A mesh that other machines could reach, by the commands that its people have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from chains import OWN, copy_models
from patience import PATIENCE_S
from whole_mesh import WholeMesh, environment, wait_until

pytestmark = pytest.mark.e2e

ROW = {"text": "abc"}


def hydro(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hydro_services.cli.main", *words]
    env, rows = environment() | variables, json.dumps([ROW])
    return subprocess.run(
        command, env=env, input=rows, capture_output=True, text=True, timeout=PATIENCE_S
    )


def made(*words: str) -> str:
    run = hydro(*words)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_a_mesh_for_others_takes_who_has_a_key(tmp_path: Path) -> None:
    keys = str(tmp_path / "keys.json")
    admin_key = made("keys", "admin")
    acme = made("keys", "create", "acme", "--keys", keys)
    (tmp_path / "admin.key").write_text(admin_key)
    words = ["--host", "0.0.0.0", "--keys", keys, "--access", "keys"]
    words += ["--admin-key-file", str(tmp_path / "admin.key"), "--runtime", "serving-customscikit"]
    code = copy_models(tmp_path / "models", OWN)
    mesh = WholeMesh(tmp_path / "mesh", tmp_path / "models", words)
    mesh.folder.mkdir()
    mesh.trust(*code)
    mesh.start()
    try:
        _try_out(mesh, keys, admin_key, acme)
        for file in (tmp_path / "mesh").rglob("*"):
            content = file.read_bytes() if file.is_file() else b""
            assert admin_key.encode() not in content, file
            assert acme.encode() not in content, file
    finally:
        mesh.stop()


def _try_out(mesh: WholeMesh, keys: str, admin_key: str, acme: str) -> None:
    to_manager = ("--manager", mesh.address("manager"))
    to_gateway = ("--gateway", mesh.address("gateway"))
    applied = ("pipelines", "apply", "p", "serving-customscikit/moody", *to_manager)
    refused = hydro(*applied)
    assert (refused.returncode, refused.stderr) == (
        1,
        "error: want the mesh's admin key in the header authorization: Bearer\n",
    )
    assert hydro(*applied, HYDRO_ADMIN_KEY=admin_key).returncode == 0
    models = hydro("models", "list", "--repository", mesh.address("repository"))
    assert "want the mesh's admin key" in models.stderr

    predicted = ("predict", "p", *to_gateway)
    refused = hydro(*predicted)
    assert (refused.returncode, refused.stderr) == (
        1,
        "error: pipeline 'p' wants an API key in the header x-api-key\n",
    )
    answered = hydro(*predicted, HYDRO_API_KEY=acme)
    assert json.loads(answered.stdout) == [{**ROW, "echo": "abc"}], answered.stderr
    url = f"{mesh.urls['gateway']}/api/v1/serve/p"
    assert httpx.post(url, json=[ROW]).status_code == 401
    assert httpx.post(url, json=[ROW], headers={"x-api-key": acme}).status_code == 200

    assert hydro("keys", "revoke", "acme", "--keys", keys).returncode == 0

    def is_out() -> bool:
        return httpx.post(url, json=[ROW], headers={"x-api-key": acme}).status_code == 401

    wait_until(is_out, PATIENCE_S, "the key is out of force")
