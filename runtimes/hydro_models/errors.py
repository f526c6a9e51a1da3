"""What can go wrong when a model is saved, proven or given rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class CannotSave(ValueError):
    """A model, or its example, that cannot be served; the message tells the way out."""


class WrongAnswer(ValueError):
    """What a model answers is not one value for each row, or not of the declared type."""


class ProofFailed(ValueError):
    """A model does not answer its example's rows as it did when it was saved."""


class RowFault(NamedTuple):
    """Why a row cannot be given to a model."""

    column: str
    message: str


class BadRows(ValueError):
    """Some rows of a batch cannot be given to the model; the others can."""

    def __init__(self, faults: Mapping[int, RowFault]) -> None:
        super().__init__("; ".join(f"row {row}: {f.message}" for row, f in [*faults.items()][:3]))
        self.faults = dict(faults)
        """By index of the row."""
