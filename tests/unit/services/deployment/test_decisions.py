"""What a deployment and its end decide from what there is."""

from __future__ import annotations

import pytest

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_runtimes import model_formats
from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field, Signature
from hydro_services.deployment import deploy, undeploy
from hydro_services.deployment.preparation import PreparedModel
from hydro_services.deployment.request import choose_name
from hydro_services.deployment.sample_row import make_row
from hydro_services.errors import FailedPrecondition, InvalidArgument, ModelRefused


@pytest.mark.parametrize(
    ("model", "name", "want"),
    [
        ("churn.joblib", None, "churn"),
        ("a/b/my model.pkl", None, "my_model"),
        ("models/spark/pm/", None, "pm"),
        ("s3://bucket/x/churn.cbm", None, "churn"),
        ("model.v2", None, "model.v2"),
        ("models:/churn/Production", None, "churn"),
        ("models:/churn@champion", None, "churn"),
        ("oci://registry:5000/team/churn:1", None, "churn"),
        ("hf://org/churn@main", None, "churn"),
        ("churn.joblib", "other", "other"),
    ],
)
def test_the_name_is_that_of_the_file(model: str, name: str | None, want: str) -> None:
    assert choose_name(model, name) == want


@pytest.mark.parametrize(("model", "name"), [("2024.pkl", None), ("a.pkl", "a/b"), (".", None)])
def test_what_cannot_be_a_name_is_told(model: str, name: str | None) -> None:
    with pytest.raises(InvalidArgument, match="give a name by --name"):
        choose_name(model, name)


def test_a_pipeline_of_one_stage_is_replaced_and_of_several_is_not() -> None:
    deploy.check_pipeline("p", None)
    deploy.check_pipeline("p", pb.Pipeline(chain=["s/a"]))
    pending = pb.Pipeline(chain=["s/a"], pending=pb.Pipeline(chain=["s/a", "s/b"]))
    for before in (pb.Pipeline(chain=["s/a", "s/b"]), pending):
        with pytest.raises(FailedPrecondition, match=r"has 2 stages \(s/a -> s/b\); deploy under"):
            deploy.check_pipeline("p", before)


@pytest.mark.parametrize("format", model_formats.FORMATS, ids=lambda format: format.name)
def test_a_mesh_without_the_service_of_a_format_is_told_what_to_install(
    format: model_formats.Format,
) -> None:
    prepared = PreparedModel(format, Signature((), ()), (), None)
    deploy.check_service(prepared, [format.service])
    with pytest.raises(FailedPrecondition, match=rf"hydro-serving\[.*{format.extra}.*\]'"):
        deploy.check_service(prepared, ["repository"])


def test_trust_is_asked_for_once() -> None:
    asked: list[str] = []

    def ask(why: str) -> bool:
        asked.append(why)
        return len(asked) > 1

    trust = deploy.Trust(False, ask, "COMMAND")
    with pytest.raises(ModelRefused, match="it runs code; if you trust who made it: COMMAND"):
        trust.require("it runs code")
    trust.require("again")
    trust.require("and again")
    assert asked == ["it runs code", "again"]


@pytest.mark.parametrize(
    ("pipeline", "told"),
    [
        (pb.Pipeline(name="m", chain=["s/m:1", "s/n"]), "pipeline 'm' has 2 stages"),
        (pb.Pipeline(name="p", chain=["s/x", "s/m"]), "'p' uses the model 'm'"),
        (pb.Pipeline(name="p", pending=pb.Pipeline(chain=["s/m:2"])), "'p' uses"),
        (pb.Pipeline(name="p", traffic=pb.Traffic(shadow=pb.Shadow(chain=["s/m"]))), "'p' uses"),
        (pb.Pipeline(name="p", traffic=pb.Traffic(variants=[pb.Variant(chain=["s/m"])])), "'p' us"),
    ],
)
def test_a_model_that_others_use_stays(pipeline: pb.Pipeline, told: str) -> None:
    undeploy.check_use("other", [pipeline])
    with pytest.raises(FailedPrecondition, match=told):
        undeploy.check_use("m", [pb.Pipeline(name="m", chain=["s/m:1"]), pipeline])


def test_a_row_is_made_up_of_what_the_model_needs() -> None:
    fields = (
        Field("x", DataType.FLOAT64),
        Field("n", DataType.INT32, (2, -1)),
        Field("t", DataType.STRING),
        Field("b", DataType.BOOL),
        Field("o", DataType.STRING, optional=True),
        Field("j", DataType.JSON),
    )
    want = {"x": 0.0, "n": [[0], [0]], "t": "", "b": False, "j": None}
    assert make_row(Signature(fields, ())) == want
