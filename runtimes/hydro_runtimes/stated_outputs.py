"""Outputs of a model that tells its columns itself, by the names that metadata.json states."""

from __future__ import annotations

from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Field


def rename_outputs(
    where: object, own: tuple[Field, ...], stated: tuple[Field, ...]
) -> tuple[Field, ...]:
    """The outputs as they are stated, in order; the last ones may be left out.

    Raises:
        InvalidModel: there are more than the model has, or they differ in type or shape.
    """
    is_alike = all(
        mine.type is each.type and (each.fits(mine.shape) or mine.fits(each.shape))
        for mine, each in zip(own, stated, strict=False)
    )
    if len(stated) > len(own) or not is_alike:
        want = ", ".join(f"{each.name} ({each.type.value}, {list(each.shape)})" for each in own)
        raise InvalidModel(where, f"metadata.json has other outputs than the model, want {want}")
    return stated
