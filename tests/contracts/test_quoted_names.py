"""Names in back-quotes, in docstrings and comments, exist: renames leave none behind."""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = [
    ROOT / "services/hydro_services",
    ROOT / "envoy/hydro_envoy",
    ROOT / "runtimes/hydro_models",
    ROOT / "runtimes/hydro_runtimes",
]
FILES = sorted(path for root in ROOTS for path in root.rglob("*.py"))
QUOTED = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)`")
ELSEWHERE = {*keyword.kwlist, *dir(builtins), *sys.stdlib_module_names}
"""Names of Python itself."""


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _identifiers(tree: ast.AST) -> Iterator[str]:
    """All that code names: what it defines, uses, passes and imports."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.Name(id=name) | ast.arg(arg=name):
                yield name
            case ast.Attribute(attr=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name, asname=other):
                yield from name.split(".")
                yield other or name


def _texts(tree: ast.AST) -> Iterator[str]:
    """Strings of one word that are not docstrings: names of headers, fields, filters, options."""
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield from re.findall(r"[\w-]+", node.value) if " " not in node.value else ()


@cache
def _names_of(path: Path) -> frozenset[str]:
    return frozenset(_identifiers(_tree(path)))


@cache
def _modules() -> dict[str, set[Path]]:
    """Files by the last part of their module's name."""
    modules: defaultdict[str, set[Path]] = defaultdict(set)
    for path in FILES:
        modules[path.parent.name if path.stem == "__init__" else path.stem].add(path)
    return dict(modules)


@cache
def _classes() -> dict[str, set[str]]:
    """What the bodies of classes name, by the class."""
    classes: defaultdict[str, set[str]] = defaultdict(set)
    for path in FILES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                classes[node.name].update(_identifiers(node))
    return dict(classes)


@cache
def _words() -> frozenset[str]:
    """Known everywhere."""
    texts = {word for path in FILES for word in _texts(_tree(path))}
    return frozenset({*texts, *_modules(), *_classes(), *_proto_names(), *ELSEWHERE})


def _proto_names() -> set[str]:
    """The messages, enums, services and fields of our protos."""
    sources = [path.read_text() for path in (ROOT / "protos").rglob("*.proto")]
    return {word for source in sources for word in re.findall(r"\w+(?= =| \{)", source)}


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings and comments, with the line that each begins at."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT or token.string.startswith(('"""', 'r"""')):
            yield token.start[0], token.string


def _exists(name: str, path: Path) -> bool:
    first, *rest = name.split(".")
    if not rest:
        return first in _names_of(path) or first in _words()
    is_ours = first in _modules() or first in _classes()
    return not is_ours or all(
        _has(owner, member) for owner, member in zip([first, *rest], rest, strict=False)
    )


def _has(owner: str, member: str) -> bool:
    """Whether a module or class of ours has a member; what is not ours is not judged."""
    modules, classes = _modules().get(owner, set()), _classes().get(owner)
    if not modules and classes is None:
        return True
    return (
        member in (classes or ())
        or any(member in _names_of(path) for path in modules)
        or any(owner in path.parts for path in _modules().get(member, ()))
    )


def stale_names(paths: Iterable[Path]) -> list[str]:
    """`file:line: name` of each name in back-quotes that does not exist."""
    return [
        f"{path.relative_to(ROOT)}:{line}: `{name}`"
        for path in paths
        for line, text in _prose(path)
        for name in QUOTED.findall(text)
        if not _exists(name, path)
    ]


@pytest.mark.slow
def test_names_in_docstrings_and_comments_exist() -> None:
    assert stale_names(FILES) == []


@pytest.mark.parametrize(
    ("name", "exists"),
    [
        ("readiness.missing_loads", True),
        ("readiness.lacking", False),
        ("hydro_services.manager.domain.readiness", True),
        ("hydro_services.manager.domain.lacking", False),
        ("State.pending", True),
        ("State.tried", False),
        ("asyncio.wait_for", True),
        ("missing_loads", True),
        ("reconsidered", False),
    ],
)
def test_former_name_is_not_taken_for_one_that_exists(name: str, exists: bool) -> None:
    assert _exists(name, ROOT / "services/hydro_services/manager/domain/readiness.py") == exists
