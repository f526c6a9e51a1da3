"""What the documents show is what there is, and what the manager takes."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from hydro.manager.v1 import pipeline_pb2
from hydro_services.manager.domain import conversion

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "policies.md").read_text(), re.DOTALL)
PACKAGES = {
    "services": "services/hydro_services",
    "envoy": "envoy/hydro_envoy",
    "runtimes": "runtimes/hydro_runtimes",
}
EXAMPLES = {"Iris", "LDA", "LDAModel", "PIPELINE"}
"""A model, classes of Spark, and a word of a command."""
DEFINITION = re.compile(
    r"^\s*(?:(?:class|def|async def|enum|message|rpc|service) (\w+)|(\w+)(?:: .+)? = )",
    re.MULTILINE,
)
DOCUMENTS = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "RELEASING", "SECURITY")),
    *(ROOT / "docs").glob("*.md"),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_documents_link_to_what_there_is(document: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_everyday_changes_are_made_in_files_that_there_are() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:services|envoy|runtimes|protos|tests|scripts|deploy)/[^`\s]+)", text)
    for path in paths:
        root, _, rest = path.partition("/…/")
        assert (ROOT / PACKAGES.get(root, root) / rest).exists(), f"CONTRIBUTING.md names {path}"
    assert len(paths) > 25


@pytest.mark.parametrize(
    ("document", "pattern", "arrow"),
    [
        ("CONTRIBUTING.md", r"- `services/hydro_services`:([^.]*)", "→"),
        ("docs/architecture.md", r"(?s)\nhydro_services(.*?)\nhydro_runtimes", ">"),
    ],
)
def test_documents_have_all_layers_of_the_services(document: str, pattern: str, arrow: str) -> None:
    (shown,) = re.findall(pattern, (ROOT / document).read_text())
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (
        contract["layers"]
        for contract in contracts["contracts"]
        if contract.get("containers") == ["hydro_services"]
    )
    assert [set(re.findall(r"\w+", layer)) for layer in shown.split(arrow)] == [
        set(re.findall(r"\w+", layer)) for layer in layers
    ]


@pytest.fixture(scope="module")
def defined() -> set[str]:
    """The names that the code and the contracts define."""
    folders = ("protos", *PACKAGES.values())
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    texts = [path.read_text() for path in paths if path.suffix in {".py", ".proto"}]
    return {first or second for text in texts for first, second in DEFINITION.findall(text)}


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_documents_name_code_that_there_is(document: str, defined: set[str]) -> None:
    names = re.findall(r"`(_?[A-Z][\w.]*)[`(]", (ROOT / document).read_text())
    parts = {part for name in names for part in name.split(".")}
    assert parts - EXAMPLES - defined == set()


@pytest.mark.parametrize("block", BLOCKS, ids=["limits", "access", "failures", "traffic"])
def test_example_is_a_pipeline(block: str) -> None:
    assert (
        conversion.parse_spec(ParseDict(json.loads(block), pipeline_pb2.Pipeline())).name
        == "endpointML"
    )
