"""Content types of a model's files."""

from __future__ import annotations

import pytest

from hydro_services.repository import download

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("metadata.json", "application/json"),
        ("deep/in/it/x.JSON", "application/json"),
        ("metadata/part-00000", TEXT),
        ("stages/0_x/metadata/part-00000-0b1e-c000.txt", TEXT),
        ("data/part-00000", BYTES),
        ("data/part-00000-0b1e-c000.snappy.parquet", "application/vnd.apache.parquet"),
        ("metadata/_SUCCESS", BYTES),
        ("model.py", TEXT),
        ("README.md", TEXT),
        ("model.skops", "application/zip"),
        ("model.pkl", BYTES),
        ("report.html", BYTES),
        ("picture.svg", BYTES),
    ],
)
def test_a_name_tells_the_content_type(path: str, wanted: str) -> None:
    assert download.content_type(path) == wanted
