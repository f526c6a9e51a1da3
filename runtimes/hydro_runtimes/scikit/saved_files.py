"""The estimator in a file that a user saved, to be written again as a model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def read_model(file: Path, ask: Callable[[str], None]) -> Any:
    """As `model_formats.Reader.read_model`. A pickle runs code, for which its format stands."""
    if file.suffix == ".skops":
        return _read_skops(file, ask)
    import joblib

    return joblib.load(file)  # which reads plain pickles as well


def _read_skops(file: Path, ask: Callable[[str], None]) -> Any:
    import skops.io

    from hydro_models.skops_types import TRUSTED

    unknown = sorted({*skops.io.get_untrusted_types(file=file)} - TRUSTED)
    if unknown:
        ask(f"'{file.name}' holds types that skops does not trust ({', '.join(unknown)})")
    return skops.io.load(file, trusted=[*TRUSTED, *unknown])
