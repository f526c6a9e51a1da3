"""Missing values of Python, numpy and pandas: which there are, and what a model was fitted on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas.NA."""
    return value is None or is_nan(value) or type(value).__name__ in ("NAType", "NaTType")


def missing_value(name: str) -> Any:
    """The missing value that the schema names."""
    if name == "NA":
        import pandas

        return pandas.NA
    return None if name == "None" else math.nan


def missing_name(value: Any) -> str:
    if value is None:
        return "None"
    return "NA" if type(value).__name__ == "NAType" else "nan"


def is_nan(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(value != value)
