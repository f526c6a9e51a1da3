"""A row made up from a signature, to paste where there is no example."""

from __future__ import annotations

from typing import Any

from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field, Signature


def make_row(signature: Signature) -> dict[str, Any]:
    """Zeros and empty texts in all inputs that a row needs."""
    return {field.name: _value(field) for field in signature.inputs if not field.optional}


def _value(field: Field) -> Any:
    value: Any = None
    match field.type:
        case DataType.BOOL:
            value = False
        case DataType.STRING:
            value = ""
        case DataType.FLOAT32 | DataType.FLOAT64:
            value = 0.0
        case DataType.INT32 | DataType.INT64:
            value = 0
    for size in reversed(field.shape):
        value = [value] * max(size, 1)
    return value
