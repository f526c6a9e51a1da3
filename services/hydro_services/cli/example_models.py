"""The example models: in the checkout, or in the wheel, which has copies of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hydro_services
from hydro_services.security.trusted_models import add_line
from hydro_services.up import home

_PACKAGE = Path(hydro_services.__file__).parent
_PACKAGED = _PACKAGE / "examples"
_CHECKOUT = _PACKAGE.parents[1]


def copy_examples(data: Path) -> tuple[Path, Path]:
    """Copies models and rows of the examples to a data folder, and trusts the models there.

    What is the same already is left alone, and what else is there stays.

    Returns:
        The folder of models, and the file of rows.
    """
    is_packaged = _PACKAGED.is_dir()
    models = (_PACKAGED if is_packaged else _CHECKOUT) / "models"
    rows = (_PACKAGED if is_packaged else _CHECKOUT / "examples") / "rows.json"
    for file in _model_files(models):
        _copy_file(file, data / "models" / file.relative_to(models))
    _copy_file(rows, data / "rows.json")
    for line in (models / "trusted.txt").read_text().splitlines():
        digest, _, name = line.partition("  ")
        add_line(home.trusted_file(data), digest, name)
    return data / "models", data / "rows.json"


def _model_files(models: Path) -> Iterator[Path]:
    for model in sorted(models.glob("*/*/")):
        if model.name != "__pycache__":
            yield from (
                file
                for file in sorted(model.rglob("*"))
                if file.is_file() and "__pycache__" not in file.parts
            )


def _copy_file(source: Path, target: Path) -> None:
    content = source.read_bytes()
    if target.is_file() and target.read_bytes() == content:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")  # which the repository does not look at
    part.write_bytes(content)
    os.replace(part, target)
