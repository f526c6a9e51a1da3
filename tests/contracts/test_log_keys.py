"""The keys of log records: docs/operations.md lists each with its one meaning."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = [
    path
    for root in ("services/hydro_services", "runtimes/hydro_runtimes", "envoy/hydro_envoy")
    for path in sorted((ROOT / root).rglob("*.py"))
]
LISTED = re.compile(r"^\| ((?:`[a-z0-9_]+`(?:, )?)+) \|", re.MULTILINE)


def listed_keys() -> list[str]:
    text = (ROOT / "docs/operations.md").read_text()
    section = text.partition("### Keys of log records\n")[2].partition("\n#")[0]
    return [key for row in LISTED.findall(section) for key in re.findall(r"`(\w+)`", row)]


def used_keys(source: str) -> set[str]:
    """The keys that the `extra` of any record of a module can have.

    That is a mapping in place, or one that is built in variables of the same function.
    """
    keys: set[str] = set()
    for function in _functions(ast.parse(source)):
        passed = [k.value for call in _calls(function) for k in call.keywords if k.arg == "extra"]
        names = {n.id for value in passed for n in ast.walk(value) if isinstance(n, ast.Name)}
        for node in [*passed, *_assigned(function, names)]:
            keys |= {k for each in ast.walk(node) for k in _literal_keys(each)}
    return keys


def _functions(tree: ast.Module) -> Iterator[ast.AST]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return (node for node in ast.walk(tree) if isinstance(node, kinds))


def _calls(function: ast.AST) -> Iterator[ast.Call]:
    """Of a logger."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
            yield node


def _assigned(function: ast.AST, names: set[str]) -> Iterator[ast.AST]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name in names:
                    yield node
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name), slice=key)]):
                if name in names:
                    yield ast.Dict([key], [key])


def _literal_keys(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Dict):
        for key in node.keys:
            if isinstance(key, ast.Constant):
                yield str(key.value)


@pytest.mark.parametrize(
    "source",
    [
        'logger.info("m", extra={"a": 1, **more})',
        'extra = {"a": 1}\n    logger.info("m", extra={**extra})',
        'extra: D = {"b": 1} if x else {}\n    logger.log(1, "m", extra=extra | {"a": 1})',
        'extra = {"b": 1}\n    extra["a"] = 2\n    logger.exception("m", extra=extra)',
    ],
)
def test_keys_are_found_however_they_are_passed(source: str) -> None:
    assert used_keys(f"def f():\n    {source}\n") - {"b"} == {"a"}


def test_every_key_of_a_record_is_listed_once_and_no_other() -> None:
    used = {key for path in PRODUCT for key in used_keys(path.read_text())}
    listed = listed_keys()
    assert len(listed) == len(set(listed))
    # `request_id` and `id` have their own ways into a record: logs.record_fields, and new_internal.
    assert used | {"request_id", "id"} == set(listed)
