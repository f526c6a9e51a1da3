"""What a loaded model is: a signature, and a function from columns to columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from hydro_runtimes.columns import Array, Column, Columns, DataType


@dataclass(frozen=True, slots=True)
class Field:
    """A column as a model declares it."""

    name: str
    type: DataType
    shape: tuple[int, ...] = ()
    """The shape of one row's value: () for a scalar, -1 for a size not known or that varies."""
    nullable: bool = False
    """Inputs: a null is let through to the model, in lists too. Outputs: a null may come out."""
    optional: bool = False
    """Inputs: the model runs without this column. Outputs: the column is there only sometimes."""
    replaces: bool = False
    """Outputs: the column takes the place of the one of the same name that came in; a row that
    brings one where this is not declared fails."""
    nominal: tuple[str, ...] = ()
    """The names of the values 0, 1, ... of a nominal column; () when not nominal or not known."""
    elements: tuple[str, ...] = ()
    """The names of the elements of a vector; () when not known."""
    sql: str = ""
    """The type as Spark's SQL writes it, such as decimal(10,2), of a column of JSON values whose
    type is stated beside a Spark model."""

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether values of this shape are as declared."""
        return shape == self.shape or (
            len(shape) == len(self.shape)
            and all(want in (-1, got) for got, want in zip(shape, self.shape, strict=True))
        )


@dataclass(frozen=True, slots=True)
class Signature:
    """The columns that a model reads and those that it adds."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    absent_is_null: bool = False
    """A row that has some of the inputs may lack others: they are null, as Spark reads JSON."""
    ignores_case: bool = False
    """An input is also the column whose name differs from it in case alone, as in Spark."""
    reads: frozenset[str] = field(init=False, repr=False, compare=False)
    """The names of the inputs."""
    writes: frozenset[str] = field(init=False, repr=False, compare=False)
    """The names of the outputs."""
    adds: frozenset[str] = field(init=False, repr=False, compare=False)
    """Those of the outputs that replace nothing: no row may bring a column of this name."""

    def __post_init__(self) -> None:
        names = {
            "reads": self.inputs,
            "writes": self.outputs,
            "adds": [each for each in self.outputs if not each.replaces],
        }
        for name, fields in names.items():
            object.__setattr__(self, name, frozenset(each.name for each in fields))

    def for_names(self, names: Collection[str]) -> Signature:
        """The signature whose inputs are named as these columns, where case alone differs."""
        if not self.ignores_case:
            return self
        return self.named(named_as(tuple(each.name for each in self.inputs), names))

    def named(self, given: Mapping[str, str]) -> Signature:
        """The signature with other names for some of its inputs."""
        if not given:
            return self
        inputs = tuple(replace(each, name=given.get(each.name, each.name)) for each in self.inputs)
        return replace(self, inputs=inputs)


def named_as(wanted: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """From names that are not there to the only one that differs from each in case alone."""
    lacking = [name for name in wanted if name not in names]
    if not lacking:
        return {}
    lower: dict[str, list[str]] = {}
    for name in names:
        lower.setdefault(name.lower(), []).append(name)
    found = {name: lower.get(name.lower(), []) for name in lacking}
    return {name: others[0] for name, others in found.items() if len(others) == 1}


@dataclass(frozen=True, slots=True)
class Part:
    """A stage of a saved model."""

    name: str
    """The class, without its package."""
    uid: str
    depth: int
    """How many stages hold it."""


class Description(NamedTuple):
    """What a saved model tells of itself without running code."""

    signature: Signature
    parts: tuple[Part, ...] = ()
    """The stages of a Spark model."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row has no answer."""

    reason: str
    """UPPER_SNAKE; ROW_DROPPED for a row that the model leaves out on purpose."""
    message: str
    """For the client: what was got, what was wanted, the way out. Never a traceback."""
    column: str | None = None
    stage: str | None = None
    """The part of the model, such as the uid of a Spark stage."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model's answer to a batch of rows."""

    outputs: Mapping[str, Column]
    """The columns added or replaced, one row for each row that did not fail, in order."""
    failures: Mapping[int, Failure] = field(default_factory=dict)
    """By index of the row in the batch."""
    present: Mapping[str, Array] = field(default_factory=dict)
    """As in `Columns`: which of the rows that did not fail have an output, where not all do."""


class Evaluator(Protocol):
    """A loaded model. Instances are used by several threads and hold no state of a batch."""

    @property
    def signature(self) -> Signature:
        """The columns in and out."""
        ...

    def evaluate(self, columns: Columns) -> Evaluation:
        """Answers all rows of the batch.

        `columns` holds at least the inputs that are not optional, with the declared types and
        shapes (a declared -1 fits any size), each for all rows, and may hold others. Rows that
        lack an optional input come in batches of their own.

        Raises:
            Exception: the batch as a whole could not be evaluated. The caller then tries
                smaller batches to find the rows at fault.
        """
        ...
