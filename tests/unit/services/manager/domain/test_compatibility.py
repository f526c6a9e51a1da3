"""Which newer models take over by themselves: those whose columns clients can go on with."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro.runtime.v1.signature_pb2 import Field, Signature
from hydro.serving.v1 import frame_pb2
from hydro_envoy.mesh import MAIN
from hydro_services.errors import FailedPrecondition
from hydro_services.manager.domain import compatibility
from hydro_services.manager.domain.references import parse_chain
from hydro_services.manager.domain.state import Model, ResolvedStage, Spec

X = Field(name="x", type=frame_pb2.DATA_TYPE_FLOAT64)
Y = Field(name="y", type=frame_pb2.DATA_TYPE_STRING)
SPEC = Spec("p", "http", {MAIN: parse_chain(["s/m"])})


def field(like: Field, **changes: object) -> Field:
    changed = Field()
    changed.CopyFrom(like)
    changed.MergeFrom(Field(**changes))  # type: ignore[arg-type]
    return changed


def stages(
    inputs: Sequence[Field], outputs: Sequence[Field], version: str = "1"
) -> tuple[ResolvedStage]:
    signature = Signature(inputs=inputs, outputs=outputs)
    return (ResolvedStage("s/m", "s", Model("m", version, "spark", version * 64, signature)),)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([X], [Y]),
        ([], [Y]),
        ([X, field(X, name="more", optional=True)], [Y]),
        ([field(X, optional=True, nullable=True)], [Y, field(Y, name="more")]),
    ],
)
def test_what_clients_can_go_on_with_fits(inputs: list[Field], outputs: list[Field]) -> None:
    compatibility.check_compatible(SPEC, stages([X], [Y]), stages(inputs, outputs, "2"))


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ([X, field(X, name="z")], [Y], "reads {z: float64}, which clients need not send"),
        ([field(Y, name="x")], [Y], "reads {x: string}, and clients send {x: float64}"),
        ([field(X, shape=[3])], [Y], r"reads {x: float64\[3\]}, and clients send {x: float64}"),
        ([X], [], "does not add {y: string}"),
        ([X], [field(X, name="y")], "adds {y: float64}, and clients get {y: string}"),
        ([X], [field(Y, optional=True)], "may leave out 'y'"),
        ([X], [field(Y, nullable=True)], "may give null in 'y'"),
    ],
)
def test_what_clients_cannot_go_on_with_is_told(
    inputs: list[Field], outputs: list[Field], reason: str
) -> None:
    with pytest.raises(FailedPrecondition, match=f"'m' version '2' does not take over.*{reason}"):
        compatibility.check_compatible(SPEC, stages([X], [Y]), stages(inputs, outputs, "2"))


def test_what_clients_may_leave_out_or_null_now_is_not_wanted() -> None:
    before = stages([field(X, optional=True, nullable=True)], [Y])
    with pytest.raises(FailedPrecondition, match="may leave out now"):
        compatibility.check_compatible(SPEC, before, stages([field(X, nullable=True)], [Y], "2"))
    with pytest.raises(FailedPrecondition, match="takes no null"):
        compatibility.check_compatible(SPEC, before, stages([field(X, optional=True)], [Y], "2"))


FIELDS = st.lists(
    st.builds(
        Field,
        name=st.sampled_from("abc"),
        type=st.sampled_from([frame_pb2.DATA_TYPE_FLOAT64, frame_pb2.DATA_TYPE_STRING]),
        shape=st.sampled_from([[], [-1], [3]]),
        nullable=st.booleans(),
        optional=st.booleans(),
    ),
    unique_by=lambda each: each.name,
)


@given(FIELDS, FIELDS)
def test_what_serves_fits_itself(inputs: list[Field], outputs: list[Field]) -> None:
    compatibility.check_compatible(SPEC, stages(inputs, outputs), stages(inputs, outputs, "2"))
