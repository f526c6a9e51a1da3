"""The index of decisions has all of them, without gaps, each with its status."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "adr"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
FOLDERS = ("services", "runtimes", "envoy", "scripts", "tests")
SOURCES = {path.name for name in FOLDERS for path in (ROOT / name).rglob("*")}
ABSENT = {"envoy/__init__.py", "model.py", "helper.py"}
"""What must not be there, and what models bring."""
STATUS = re.compile(r"accepted|proposed|superseded by ADR \d+")


def entry(record: Path) -> str:
    """The line of a record in the index."""
    text = record.read_text()
    number, title = re.findall(r"\A# (\d+)\. (.*)$", text, re.MULTILINE)[0]
    (status,) = re.findall(r"^Status: (.*)$", text, re.MULTILINE)
    assert STATUS.fullmatch(status), f"{record.name} has the status {status!r}"
    return f"| [{number}]({record.name}) | {title} | {status} |"


def test_the_index_has_each_record_once_in_order() -> None:
    lines = (FOLDER / "README.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("| [")] == [entry(one) for one in RECORDS]


def test_numbers_have_no_gaps() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == [*range(1, len(RECORDS) + 1)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name[:4])
def test_a_record_names_files_that_there_are(record: Path) -> None:
    text = record.read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert [link for link in links if not (FOLDER / link).exists()] == []
    paths = re.findall(r"`((?:services|runtimes|envoy|scripts|tests|protos)/[\w./*-]*)`", text)
    assert [path for path in {*paths} - ABSENT if not list(ROOT.glob(path))] == []
    names = re.findall(r"`(?:\w+/)*(\w+\.(?:py|wat|lua))`", text)
    assert [name for name in {*names} - ABSENT if name not in SOURCES] == []
