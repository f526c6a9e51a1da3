"""Outputs of a model that tells its columns itself, by the names that metadata.json states."""

from __future__ import annotations

import numpy as np

from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Field


def rename_outputs(
    where: object, own: tuple[Field, ...], stated: tuple[Field, ...]
) -> tuple[Field, ...]:
    """The outputs as they are stated, in order; the last ones may be left out.

    Numbers may be stated as wider ones, which have all their values.

    Raises:
        InvalidModel: there are more than the model has, or they differ in type or shape.
    """
    is_alike = all(
        _widens(mine, each) and (each.fits(mine.shape) or mine.fits(each.shape))
        for mine, each in zip(own, stated, strict=False)
    )
    if len(stated) > len(own) or not is_alike:
        want = ", ".join(f"{each.name} ({each.type.value}, {list(each.shape)})" for each in own)
        raise InvalidModel(where, f"metadata.json has other outputs than the model, want {want}")
    return stated


def _widens(own: Field, stated: Field) -> bool:
    if own.type.dtype.hasobject or stated.type.dtype.hasobject:
        return own.type is stated.type
    return np.can_cast(own.type.dtype, stated.type.dtype)
