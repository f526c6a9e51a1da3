from __future__ import annotations

import pytest

from hydro.runtime.v1.signature_pb2 import Signature
from hydro_services.errors import HydroError, InvalidArgument, ModelRefused, Unavailable
from hydro_services.manager.domain import chain
from hydro_services.manager.domain.references import parse_chain
from hydro_services.manager.domain.state import Model

SERVICES = {"serving-scikit": frozenset(["skops"]), "serving-spark": frozenset(["spark"])}
CATALOGUE = tuple(
    Model(name, version, format, 64 * version[0], Signature())
    for name, version, format in (
        ("iris", "1", "skops"),
        ("trees", "2", "spark"),
        ("trees", "10", "spark"),
        ("net", "1", "onnx"),
    )
)


def resolve(*stages: str) -> list[str]:
    resolved = chain.resolve_chain(parse_chain(stages), SERVICES, CATALOGUE)
    return [f"{stage.service}/{stage.model.name}:{stage.model.version}" for stage in resolved]


def test_stage_without_a_version_means_the_latest() -> None:
    assert resolve("serving-spark/trees") == ["serving-spark/trees:10"]


def test_stage_with_a_version_means_that() -> None:
    assert resolve("serving-spark/trees:2") == ["serving-spark/trees:2"]


def test_key_has_name_version_and_the_start_of_the_digest() -> None:
    (stage,) = chain.resolve_chain(parse_chain(["serving-scikit/iris"]), SERVICES, CATALOGUE)
    assert stage.model.key == "iris:1@111111111111"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("other/iris", "the services are serving-scikit, serving-spark", id="service"),
        pytest.param("serving-scikit/x", "the models are iris, net, trees", id="model"),
        pytest.param("serving-spark/trees:3", "the versions are 10, 2", id="version"),
        pytest.param("serving-scikit/trees", "'spark'; use serving-spark", id="format"),
        pytest.param("serving-scikit/net", "'onnx'; no service here does", id="no service"),
    ],
)
def test_stage_that_means_nothing_is_refused_with_what_there_is(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        resolve(text)


def test_long_lists_are_cut_in_messages() -> None:
    services = {f"s{i:02}": frozenset[str]() for i in range(30)}
    with pytest.raises(InvalidArgument, match=r"s18, s19 and 10 more$"):
        chain.resolve_chain(parse_chain(["a/b"]), services, ())


def test_services_that_have_not_registered_are_absent() -> None:
    references = parse_chain(["z/a", "serving-spark/b", "c/d", "z/e"])
    assert chain.absent_services(references, SERVICES) == ("c", "z")


@pytest.mark.parametrize(
    ("wrong", "cls"),
    [
        pytest.param("serving-scikit/nothing", InvalidArgument, id="absent"),
        pytest.param("serving-scikit/bad", ModelRefused, id="refused"),
        pytest.param("serving-scikit/iris", Unavailable, id="nothing wrong"),
    ],
)
def test_of_all_stages_that_cannot_be_had_the_one_is_told_that_will_not_come(
    wrong: str, cls: type[HydroError]
) -> None:
    reading = Unavailable("it is being read", model="new")
    unpublished = {("new", "1"): reading, ("bad", "1"): ModelRefused("it is cut")}
    references = parse_chain(["serving-scikit/new", wrong, "serving-scikit/new"])
    with pytest.raises(cls) as caught:
        chain.resolve_chain(references, SERVICES, CATALOGUE, unpublished)
    assert caught.value.metadata.get("stage", wrong) in (wrong, "serving-scikit/new")
