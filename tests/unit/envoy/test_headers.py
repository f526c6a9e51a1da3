"""What the parts of a mesh tell each other has one name, in Python and in Envoy's scripts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hydro_envoy
from hydro_envoy import headers
from hydro_envoy.headers import CallersContext, Fact, TokenMetadata
from hydro_services import errors, rpc

ROOT = Path(hydro_envoy.__file__).parents[2]
OWN = Path(headers.__file__)
HEADERS = {v for v in vars(headers).values() if isinstance(v, str) and v.startswith("x-")}
SCRIPTS = sorted(path for kind in ("lua", "wat") for path in (ROOT / "envoy").rglob(f"*.{kind}"))
MODULES = sorted(
    path
    for folder in ("envoy", "services", "runtimes")
    for path in (ROOT / folder).rglob("*.py")
    if path != OWN
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_use_the_headers_of_the_module(script: Path) -> None:
    for found in re.findall(r'["\[ ](x-[a-z0-9_-]+)', script.read_text()):
        assert found in HEADERS or found.startswith(headers.ERROR_FACT), found


def test_the_scripts_of_errors_know_the_facts_of_the_module() -> None:
    text = (ROOT / "envoy/hydro_envoy/resources/errors.lua").read_text()
    used = set(re.findall(r"facts\.(\w+)", text))
    assert used == {fact.value for fact in Fact}
    assert set(re.findall(r"{stage = .*?, (limit) = ", text)) == {Fact.LIMIT.value}


def test_the_script_of_callers_reads_what_the_module_names() -> None:
    text = (ROOT / "envoy/hydro_envoy/resources/callers.lua").read_text()
    assert set(re.findall(r'wanted:get\("(\w+)"\)', text)) == {
        each.value for each in CallersContext
    }
    assert set(re.findall(r"checked\.(\w+)", text)) == {each.value for each in TokenMetadata}


def test_scripts_note_bodies_as_routes_look_for_them() -> None:
    found = [
        call
        for script in SCRIPTS
        for call in re.findall(r"dynamicMetadata\(\):set\(([^)]*)\)", script.read_text())
    ]
    assert found == [f'"{headers.METADATA}", "{headers.BODY}", "{headers.WHOLE}"']


def test_scripts_ask_for_whole_answers_by_the_word_of_the_module() -> None:
    text = (ROOT / "envoy/hydro_envoy/resources/gateway.lua").read_text()
    assert f'headers:replace("{headers.ANSWER}", "{headers.WHOLE}")' in text


def texts(path: Path) -> Iterator[str]:
    """Of a module's literals, those in f-strings too, but for its docstrings."""
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


SPELLED = re.compile(
    "|".join(map(re.escape, [headers.PREFIX, headers.SCOPE, headers.API_KEY, headers.REQUEST_ID])),
    re.IGNORECASE,
)


# Commands start without the control plane: so the client's side has the name of one header again,
# and a help text that of another.
LIGHT = {"status.py": headers.REQUEST_ID, "keys.py": headers.API_KEY}


def test_no_other_module_spells_a_header() -> None:
    found = [(path.name, text) for path in MODULES for text in texts(path) if SPELLED.search(text)]
    assert [(name, text) for name, text in found if LIGHT.get(name, "-") not in text] == []
    assert {name for name, _ in found} == LIGHT.keys()


@given(st.text(st.sampled_from("aZ09._-é \n%"), max_size=140))
def test_the_services_have_the_same_header_and_rule_of_request_ids(id: str) -> None:
    assert errors.REQUEST_ID == headers.REQUEST_ID
    form = f"{headers.REQUEST_ID_CHARACTERS}{{1,{headers.MAX_REQUEST_ID}}}"
    is_kept = rpc.request_id([(errors.REQUEST_ID, id)]) == id
    assert is_kept == bool(re.fullmatch(form, id, re.ASCII))


def pieces(node: ast.JoinedStr) -> str:
    """An f-string's text, with `{}` for each value."""
    return "".join(
        str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values
    )


def makes_a_key(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) and bool(re.fullmatch(r"({}:)?{}@{}", pieces(node)))


SPLITS = ("partition", "rpartition", "split", "rsplit", "find", "index")


def splits_a_key(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SPLITS
        and any(isinstance(arg, ast.Constant) and arg.value == "@" for arg in node.args)
    )


def test_no_other_module_makes_or_reads_keys_of_models_and_names_of_scopes() -> None:
    found = [
        (path.name, ast.unparse(node))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if makes_a_key(node) or splits_a_key(node)
    ]
    assert found == []


NAME = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)


@given(NAME, NAME, st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_key_tells_the_name_and_the_version(name: str, version: str, digest: str) -> None:
    assert headers.name_and_version(headers.model_key(name, version, digest)) == (name, version)


@pytest.mark.parametrize("key", ["", "iris", "@", "iris@12"])
def test_what_is_no_key_has_no_version_or_no_name(key: str) -> None:
    assert "" in headers.name_and_version(key)
