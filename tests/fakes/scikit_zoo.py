"""The ordinary scikit-learn models of the shared cases, where these are beside the project."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

FOLDER = Path(__file__).resolve().parents[3] / "shared/cases/scikit"
REFUSED = frozenset({"dbscan"})
"""It answers no new rows."""
Builder: TypeAlias = Callable[[], tuple[Any, Any, Any]]
"""Gives the estimator, its example, and rows to answer."""


def builders() -> Mapping[str, Builder]:
    """By name; none where the shared cases are not there, which CI does not pardon."""
    if not FOLDER.is_dir():
        assert os.environ.get("CI") != "true", f"no {FOLDER}"
        return {}
    sys.path.insert(0, str(FOLDER))
    try:
        from zoo import ZOO  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(FOLDER))
    return dict(ZOO)


BUILDERS = builders()
