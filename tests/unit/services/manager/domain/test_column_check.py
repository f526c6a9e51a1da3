from __future__ import annotations

import pytest

from hydro.runtime.v1.signature_pb2 import Field, Signature
from hydro.serving.v1 import frame_pb2
from hydro_services.errors import InvalidArgument
from hydro_services.manager.domain import column_check
from hydro_services.manager.domain.state import Model, ResolvedStage

TYPES = {"s": frame_pb2.DATA_TYPE_STRING, "f": frame_pb2.DATA_TYPE_FLOAT64}


def field(text: str) -> Field:
    """`name:type[shape]`, then `?` for optional and `!` for replaces."""
    name, _, rest = text.rstrip("?!").partition(":")
    type_, _, shape = rest.rstrip("]").partition("[")
    return Field(
        name=name,
        type=TYPES[type_],
        shape=[int(size) for size in shape.split(",") if size],
        optional="?" in text,
        replaces="!" in text,
    )


def stage(name: str, inputs: str, outputs: str) -> ResolvedStage:
    signature = Signature(
        inputs=[field(text) for text in inputs.split()],
        outputs=[field(text) for text in outputs.split()],
    )
    return ResolvedStage(f"s/{name}", "s", Model(name, "1", "skops", "0" * 64, signature))


def refusal(*stages: ResolvedStage) -> str:
    with pytest.raises(InvalidArgument) as caught:
        column_check.check_columns(stages)
    return caught.value.message


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        pytest.param("b:f", "output of the stage before", id="output"),
        pytest.param("a:s", "column of the client", id="client"),
        pytest.param("a:s b:f", "both", id="both"),
        pytest.param("z:f?", "optional", id="optional"),
    ],
)
def test_inputs_that_are_covered_pass(second: str, reason: str) -> None:
    column_check.check_columns([stage("one", "a:s", "b:f"), stage("two", second, "c:f")])


def test_outputs_accumulate_over_stages() -> None:
    stages = [stage("one", "a:s", "b:f"), stage("two", "b:f", "c:f"), stage("three", "b:f", "d:f")]
    column_check.check_columns(stages)


def test_uncovered_input_is_told_with_both_sets() -> None:
    message = refusal(stage("one", "a:s", "b:f[3]"), stage("two", "b:f[3] x:f y:s z:s?", "c:f"))
    assert message == (
        "the columns before stage 2 's/two' do not cover its inputs: it wants "
        "{b: float64[3], x: float64, y: string}, and there are {a: string, b: float64[3]}; "
        "not covered: x, y"
    )


def test_input_of_another_type_is_not_covered() -> None:
    assert "not covered: b" in refusal(stage("one", "a:s", "b:s"), stage("two", "b:f", "c:f"))


def test_optional_input_of_another_type_is_refused_too() -> None:
    message = refusal(stage("one", "a:s", "b:s"), stage("two", "b:f?", "c:f"))
    assert "wants {b: float64}, and there are {a: string, b: string}" in message


@pytest.mark.parametrize(
    ("got", "wanted", "fits"),
    [
        ("[3]", "[3]", True),
        ("[-1]", "[3]", True),
        ("[3]", "[-1]", True),
        ("[3]", "[4]", False),
        ("[3]", "", False),
        ("[2,3]", "[2]", False),
        ("[2,-1]", "[2,3]", True),
    ],
)
def test_shapes_agree_where_an_unknown_size_agrees_with_any(
    got: str, wanted: str, fits: bool
) -> None:
    stages = [stage("one", "a:s", f"b:f{got}"), stage("two", f"b:f{wanted}", "c:f")]
    if fits:
        column_check.check_columns(stages)
    else:
        assert "not covered: b" in refusal(*stages)


def test_output_that_is_there_only_sometimes_does_not_cover_a_needed_input() -> None:
    assert "not covered: b" in refusal(stage("one", "a:s", "b:f?"), stage("two", "b:f", "c:f"))


def test_output_that_is_there_only_sometimes_does_for_an_optional_input() -> None:
    column_check.check_columns([stage("one", "a:s", "b:f?"), stage("two", "b:f?", "c:f")])


def test_client_can_be_asked_for_an_optional_input_of_the_first_stage() -> None:
    column_check.check_columns([stage("one", "a:s l:s?", "b:f"), stage("two", "l:s", "c:f")])


@pytest.mark.parametrize(
    ("inputs", "outputs"), [("b:f", "b:f"), ("b:f", "a:s"), ("b:f", "c:f b:s")]
)
def test_output_that_is_there_already_is_refused(inputs: str, outputs: str) -> None:
    message = refusal(stage("one", "a:s", "b:f"), stage("two", inputs, outputs))
    assert message.startswith("stage 2 's/two' adds columns that are there already")


def test_single_stage_must_not_add_its_own_input() -> None:
    assert "adds columns that are there already: a" in refusal(stage("one", "a:s", "a:s"))


def test_output_that_replaces_has_its_own_type_afterwards() -> None:
    stages = [stage("one", "a:s", "b:f"), stage("two", "b:f", "b:s!"), stage("three", "b:s", "c:f")]
    column_check.check_columns(stages)
    assert "not covered: b" in refusal(*stages[:2], stage("three", "b:f", "c:f"))
