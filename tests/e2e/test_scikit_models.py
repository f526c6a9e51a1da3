"""Ordinary scikit-learn models: saved, served by a mesh, and asked over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from clients import Clients, connect
from fitted_models import dense, in_process, load_trusted, take, to_body
from scikit_zoo import BUILDERS, REFUSED
from whole_mesh import WholeMesh

import hydro_models
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.files import digest_folder

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not BUILDERS, reason="the shared cases are not here"),
    pytest.mark.filterwarnings("ignore"),
]
NAMES = sorted(set(BUILDERS) - REFUSED)


@dataclass(frozen=True)
class Served:
    """A model of the zoo as the mesh has it."""

    model: Any
    rows: Any
    evaluator: Evaluator


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WholeMesh, dict[str, Served]]]:
    """A mesh that serves all models, which are saved before it starts."""
    folder = tmp_path_factory.mktemp("zoo")
    served = {name: saved(name, folder / "models/scikit" / name) for name in NAMES}
    mesh = WholeMesh(folder / "mesh", folder / "models", ["--runtime=serving-scikit"])
    mesh.folder.mkdir()
    digests = {name: digest_folder(folder / "models/scikit" / name) for name in NAMES}
    mesh.trusted.write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))
    mesh.start()
    try:
        yield mesh, served
    finally:
        mesh.stop()


def saved(name: str, folder: Path) -> Served:
    model, example, rows = BUILDERS[name]()
    hydro_models.save(model, folder, example)
    return Served(model, rows, load_trusted(folder))


@pytest.fixture
async def clients(zoo: tuple[WholeMesh, dict[str, Served]]) -> AsyncIterator[Clients]:
    async with connect(zoo[0]) as connected:
        yield connected


@pytest.mark.parametrize("name", NAMES)
async def test_answers_over_http_are_the_model_s(
    name: str, zoo: tuple[WholeMesh, dict[str, Served]], clients: Clients
) -> None:
    served = zoo[1][name]
    created = await clients.create(name.replace("_", "-"), f"serving-scikit/{name}")
    assert created.status_code == 200, created.text
    count = len(served.rows) if isinstance(served.rows, list) else served.rows.shape[0]
    batches = [range(count), *([row] for row in range(min(count, 5)))]
    asked = [take(served.rows, batch) for batch in batches]
    answers = await asyncio.gather(*(ask(clients, name, served, rows) for rows in asked))
    outputs = [field.name for field in served.evaluator.signature.outputs]
    assert answers == [in_process(served.model, rows, outputs) for rows in asked]


async def ask(clients: Clients, name: str, served: Served, rows: Any) -> list[dict[str, Any]]:
    """The outputs of each row, as in-process."""
    body = orjson.loads(to_body(rows, served.evaluator))
    outputs = [field.name for field in served.evaluator.signature.outputs]
    answered = await clients.answers(name.replace("_", "-"), body)
    return [{output: dense(row.get(output, row)) for output in outputs} for row in answered]
