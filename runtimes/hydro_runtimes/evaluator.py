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
    """Inputs: nulls are passed to the model, in lists too. Outputs: a value may be null."""
    optional: bool = False
    """Inputs: the model runs without this column. Outputs: the column is there only sometimes."""
    replaces: bool = False
    """Outputs: the column replaces the row's own of the same name; a row with such a column fails
    where this is not declared."""
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
    """Inputs that a row lacks are null if it has others of them, as when Spark reads JSON."""
    ignores_case: bool = False
    """A column whose name differs from an input's in case alone is that input, as in Spark."""
    reads: frozenset[str] = field(init=False, repr=False, compare=False)
    """The names of the inputs."""
    writes: frozenset[str] = field(init=False, repr=False, compare=False)
    """The names of the outputs."""
    adds: frozenset[str] = field(init=False, repr=False, compare=False)
    """The outputs that replace nothing: a row must not have a column of this name."""

    def __post_init__(self) -> None:
        names = {
            "reads": self.inputs,
            "writes": self.outputs,
            "adds": [field for field in self.outputs if not field.replaces],
        }
        for name, fields in names.items():
            object.__setattr__(self, name, frozenset(field.name for field in fields))

    def replaced(self, names: Iterable[str]) -> list[str]:
        """Those of a row's names whose columns the outputs take the place of.

        Where case is ignored, also one that differs from an output's name in case alone, as
        Dataset.withColumn of Spark does.
        """
        if not self.ignores_case:
            return [name for name in names if name in self.writes]
        lower = {name.lower() for name in self.writes}
        return [name for name in names if name.lower() in lower]

    def for_names(self, names: Collection[str]) -> Signature:
        """The signature with inputs named as these columns, where case alone differs."""
        if not self.ignores_case:
            return self
        wanted = tuple(field.name for field in self.inputs)
        return self.rename_inputs(match_ignoring_case(wanted, names))

    def rename_inputs(self, names: Mapping[str, str]) -> Signature:
        """The signature with other names for some of its inputs, by their present names."""
        if not names:
            return self
        inputs = tuple(replace(f, name=names.get(f.name, f.name)) for f in self.inputs)
        return replace(self, inputs=inputs)


def match_ignoring_case(wanted: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """From wanted names that are missing to the only name that differs in case alone."""
    lacking = [name for name in wanted if name not in names]
    if not lacking:
        return {}
    lower: dict[str, list[str]] = {}
    for name in names:
        lower.setdefault(name.lower(), []).append(name)
    matches = {name: lower.get(name.lower(), []) for name in lacking}
    return {name: others[0] for name, others in matches.items() if len(others) == 1}


@dataclass(frozen=True, slots=True)
class ModelStage:
    """A stage of a saved model."""

    name: str
    """The class, without its package."""
    uid: str
    depth: int
    """How many stages hold it."""


@dataclass(frozen=True, slots=True)
class FittedWith:
    """What the folder of a model that hydro_models has saved tells beside its columns."""

    versions: Mapping[str, str]
    """Of Python and of libraries, by name, when it was saved."""
    proven_rows: int
    """Of its example: a runtime has it answer these as it did then, before it serves."""


class Description(NamedTuple):
    """What is known of a saved model without running code of it."""

    signature: Signature
    parts: tuple[ModelStage, ...] = ()
    """The stages of a Spark model."""
    fitted: FittedWith | None = None
    """Of a model that hydro_models has saved."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row has no answer."""

    reason: str
    """UPPER_SNAKE; ROW_DROPPED for a row that the model leaves out by design."""
    message: str
    """For the client: what was got, what was wanted, the way out. Never a traceback."""
    column: str | None = None
    stage: str | None = None
    """The part of the model, such as the uid of a Spark stage."""


@dataclass(slots=True)
class Evaluation:
    """A model's answer to a batch of rows.

    Never changed; not frozen, because that doubles what one costs.
    """

    outputs: Mapping[str, Column]
    """The columns added or replaced, one row for each row that did not fail, in order."""
    failures: Mapping[int, Failure] = field(default_factory=dict)
    """By index of the row in the batch."""
    present: Mapping[str, Array] = field(default_factory=dict)
    """As in `Columns`: which of the rows that did not fail have an output, where not all do."""


class Evaluator(Protocol):
    """A loaded model. Instances are used by several threads and hold no state of a batch.

    One with an attribute `joins_inputs` that is False is given the rows of each call by themselves,
    as its answer to a row may depend on how many there are. For others, rows of several calls that
    wait are put together.
    """

    @property
    def signature(self) -> Signature:
        """The columns in and out."""
        ...

    def evaluate(self, columns: Columns) -> Evaluation:
        """Evaluates all rows of the batch.

        `columns` has at least the inputs that are not optional, with the declared types and
        shapes (a declared -1 fits any size), each for all rows, and may hold others. Rows that
        lack an optional input come in batches of their own.

        Raises:
            Exception: the batch as a whole cannot be evaluated. The caller then evaluates
                smaller batches, to find the rows at fault.
        """
        ...
