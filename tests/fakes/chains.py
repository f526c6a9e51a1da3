"""The models and pipelines of end-to-end tests."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from clients import Clients
from whole_mesh import ROOT, WholeMesh

OWN = ROOT / "tests" / "e2e" / "models"
CHAINS = {
    "endpointML": ("serving-customscikit/pm_scikit", "serving-localml-spark/pm_spark"),
    "one": ("serving-customscikit/moody",),
    "two": ("serving-customscikit/moody", "serving-customscikit/length"),
    "three": (
        "serving-customscikit/moody",
        "serving-customscikit/length",
        "serving-customscikit/double",
    ),
    "strict": ("serving-customscikit/moody", "serving-customscikit/strict"),
}


def copy_models(to: Path, *sources: Path) -> list[Path]:
    """All models of some folders; those that bring code are answered."""
    for source in sources:
        ignored = shutil.ignore_patterns("training", "__pycache__")
        shutil.copytree(source, to, dirs_exist_ok=True, ignore=ignored)
    return sorted(file.parent for file in to.glob("*/*/model.py"))


def started(
    folder: Path,
    *words: str,
    models: Sequence[Path] = (ROOT / "models", OWN),
    variables: Mapping[str, str] | None = None,
) -> WholeMesh:
    """A mesh that trusts all models."""
    code = copy_models(folder / "models", *models)
    mesh = WholeMesh(folder / "mesh", folder / "models", words, variables)
    mesh.folder.mkdir(exist_ok=True)
    mesh.trust(*code)
    mesh.start()
    return mesh


async def create_chains(clients: Clients) -> None:
    listed = await clients.http.get(f"{clients.mesh.urls['manager']}/api/v1/pipelines")
    there = {pipeline["name"] for pipeline in listed.json()["pipelines"]}
    for name, chain in CHAINS.items():
        if name not in there:
            response = await clients.create(name, *chain)
            assert response.status_code == 200, response.text
