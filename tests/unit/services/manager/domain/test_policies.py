from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro.runtime.v1.signature_pb2 import Field, Signature
from hydro.serving.v1.frame_pb2 import DATA_TYPE_FLOAT64
from hydro_envoy import mesh
from hydro_envoy.address import Address
from hydro_envoy.mesh import MAIN
from hydro_envoy.policy import Policy, RateLimit, Retry, StagePolicy
from hydro_services.errors import InvalidArgument
from hydro_services.manager.domain import (
    conversion,
    endpoint_transitions,
    mesh_plan,
    policies,
    resolution,
    transitions,
)
from hydro_services.manager.domain.references import parse_chain
from hydro_services.manager.domain.state import (
    Endpoint,
    Model,
    ModelPlacement,
    PendingPipeline,
    ResolvedStage,
    Spec,
    State,
    StoredPipeline,
)

X = Field(name="x", type=DATA_TYPE_FLOAT64)
A, B, C = (Model(name, "1", "skops", name * 64, Signature()) for name in "abc")
WANTED = {
    "name": "p",
    "chain": ["s/a"],
    "policy": {
        "rateLimit": {"requests": 10, "per": "2s"},
        "rateLimitPerApiKey": {"requests": 3},
        "timeout": "1.500s",
        "retry": {"numRetries": 2, "perTryTimeout": "0.250s"},
        "maxMessageBytes": 1000,
        "stages": {
            "s/b": {
                "circuitBreaker": {"maxRequests": 7},
                "outlierDetection": {
                    "consecutiveGatewayFailure": 5,
                    "interval": "3s",
                    "baseEjectionTime": "30s",
                    "maxEjectionPercent": 0,
                },
                "lbPolicy": "LB_POLICY_ROUND_ROBIN",
            }
        },
    },
    "traffic": {
        "variants": [
            {"name": "canary", "chain": ["s/a", "s/b"], "weight": 10, "headers": {"X-Team": "qa"}}
        ],
        "shadow": {"chain": ["s/c"], "percent": 20},
        "stickyHeader": "X-User",
    },
}


def spec(**changes: Any) -> Spec:
    return conversion.parse_spec(ParseDict(WANTED | changes, pb.Pipeline()))


def stages(*models: Model) -> tuple[ResolvedStage, ...]:
    return tuple(ResolvedStage(f"s/{model.name}", "s", model) for model in models)


def test_what_is_asked_for_reaches_the_mesh() -> None:
    assert policies.mesh_policy(spec().policy) == Policy(
        rate_limit=RateLimit(10, 2.0),
        rate_limit_per_api_key=RateLimit(3, 1.0),
        timeout_s=1.5,
        retry=Retry(2, 0.25),
        max_message_bytes=1000,
    )
    state = State(pipelines={"p": StoredPipeline(spec(), stages(A, A, B, C))})
    base = mesh.Mesh(mesh.Gateway("127.0.0.1", 8083, b"", 1))
    (found,) = mesh_plan.build_mesh(state, base).pipelines
    policy = StagePolicy("round_robin", 7, 5, 3.0, 30.0, 0, "p@/s/b")
    a, b, c = (mesh.Stage("s", model.key, f"s/{model.name}") for model in (A, B, C))
    b = mesh.Stage(b.backend, b.model, b.name, policy)
    assert found.stages == (a,)
    assert found.traffic == mesh.Traffic(
        (mesh.Variant("canary", (a, b), 10, (("x-team", "qa"),)),), mesh.Shadow((c,), 20), "x-user"
    )


def test_a_circuit_breaker_counts_for_its_own_pipeline_and_no_copies() -> None:
    limit = {"stages": {"s/a": {"circuitBreaker": {"maxRequests": 3}}}}
    shadow = {"shadow": {"chain": ["s/a"]}, "variants": [{"name": "v", "chain": ["s/a"]}]}
    wanted = {name: spec(name=name, policy=limit, traffic=shadow) for name in ("p", "q")}
    found = {
        (name, chain.variant): chain.stages[0].policy.breaker
        for name, each in wanted.items()
        for chain in mesh_plan._build_pipeline(each, stages(A, A, A), None).chains
    }
    assert found["p", "main"] == found["p", "v"]
    assert len({*found.values()}) == 4, "of p and q: what is asked, and what is copied"
    usual = spec(policy={"stages": {"s/a": {"lbPolicy": "LB_POLICY_RANDOM"}}}, traffic=shadow)
    assert mesh_plan._build_pipeline(usual, stages(A, A, A), None).stages[0].policy.breaker == ""


def test_pipeline_without_policies_is_as_it_was() -> None:
    plain = spec(policy={}, traffic={})
    state = State(pipelines={"p": StoredPipeline(plain, stages(A))})
    base = mesh.Mesh(mesh.Gateway("127.0.0.1", 8083, b"", 1))
    (found,) = mesh_plan.build_mesh(state, base).pipelines
    assert found == mesh.Pipeline("p", (mesh.Stage("s", A.key, "s/a"),))
    assert not found.has_policy_route
    assert plain.etag == Spec("p", "http", {MAIN: parse_chain(["s/a"])}).etag


def test_shadow_without_a_percentage_gets_copies_of_all() -> None:
    shadowed = spec(policy={}, traffic={"shadow": {"chain": ["s/b"]}})
    chains = {"main": (), "shadow": ()}
    assert policies.mesh_traffic(shadowed.traffic, chains).shadow == mesh.Shadow((), 100)


def test_stored_pipeline_is_read_as_it_was_with_the_stages_of_all_chains() -> None:
    kept = StoredPipeline(
        spec(), tuple(ResolvedStage(s.name, "s", _bare(s.model)) for s in stages(A, A, B, C))
    )
    record = pb.Pipeline.FromString(conversion.pipeline_record(kept).SerializeToString())
    assert [len(each.stages) for each in (record, record.traffic.variants[0])] == [1, 2]
    assert [stage.model for stage in record.traffic.shadow.stages] == ["c"]
    assert conversion.parse_pipeline_record(record) == kept
    assert conversion.parse_spec(record) == kept.spec, "what is output only is not read"


def _bare(model: Model) -> Model:
    return Model(model.name, model.version, "", model.digest, model.signature)


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": {"timeout": "2s"}},
        {"policy": {}},
        {"traffic": WANTED["traffic"] | {"stickyHeader": "x"}},  # type: ignore[operator]
    ],
)
def test_etag_changes_with_policies_and_traffic(changes: dict[str, Any]) -> None:
    assert spec(**changes).etag != spec().etag
    assert spec(**changes).etag == spec(**changes).etag


def test_models_of_all_chains_are_loaded_before_traffic_comes() -> None:
    here = Address("127.0.0.1", 1)
    endpoint = Endpoint("s", "one", here, here, ("skops",), "1")
    state = endpoint_transitions.register_endpoint(State(), endpoint, 100.0)
    state = transitions.start_pending(state, PendingPipeline(spec(), stages(A, A, B, C)))
    assert resolution.demanded_models(state)["s"].keys() == {A.key, B.key, C.key}
    for model in (A, B):
        state = endpoint_transitions.finish_load(state, ModelPlacement(endpoint.id, model.key), "1")
    assert not resolution.promote_loaded(state).pending["p"].published
    state = endpoint_transitions.finish_load(state, ModelPlacement(endpoint.id, C.key), "1")
    assert resolution.promote_loaded(state).pending["p"].published


def test_contract_of_each_variant_is_checked_and_the_variant_named() -> None:
    needy = Model("b", "1", "skops", "b" * 64, Signature(inputs=[X]))
    adds = Model("a", "1", "skops", "a" * 64, Signature())
    state = State(services={"s": frozenset(["skops"])}, catalogue=(adds, needy, C))
    with pytest.raises(InvalidArgument, match=r"variant 'canary': the columns before stage 2"):
        resolution.resolve_spec(spec(), state)
    state = State(services={"s": frozenset(["skops"])}, catalogue=(A, B))
    with pytest.raises(InvalidArgument, match=r"variant 'shadow': .* no model 'c'"):
        resolution.resolve_spec(spec(), state)


CANARY: dict[str, Any] = {"name": "canary", "chain": ["s/b"], "weight": 10}


def canary(*more: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"traffic": {"variants": [CANARY | changes, *more]}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": {"rateLimit": {}}}, "policy.rateLimit.requests is 0, want 1 to "),
        (
            {"policy": {"rateLimit": {"requests": 1, "per": "0.010s"}}},
            "policy.rateLimit.per is 0.01 s, want 0.05 s to 3600 s",
        ),
        (
            {"policy": {"rateLimitPerApiKey": {"requests": 1, "per": "3601s"}}},
            "policy.rateLimitPerApiKey.per is 3601 s",
        ),
        ({"policy": {"timeout": "0s"}}, "policy.timeout is 0 s, want 0.001 s to 3600 s"),
        ({"policy": {"timeout": "-1s"}}, "policy.timeout is -1 s"),
        ({"policy": {"retry": {"numRetries": 101}}}, "numRetries is 101, want 0 to 100"),
        ({"policy": {"maxMessageBytes": 1 << 26}}, "maxMessageBytes is 67108864, want 0 to 3355"),
        ({"policy": {"retry": {"perTryTimeout": "1s"}}}, "numRetries is 0, want 1 to 100"),
        (
            {"policy": {"retry": {"numRetries": 1, "perTryTimeout": "0s"}}},
            "perTryTimeout is 0 s",
        ),
        ({"policy": {"stages": {"s/z": {}}}}, "has 's/z', the stages are s/a, s/b, s/c"),
        ({"policy": {"stages": {"s/a": {"circuitBreaker": {}}}}}, "maxRequests is 0, want 1 to"),
        ({"policy": {"stages": {"s/a": {"lbPolicy": 9}}}}, "lbPolicy is 9, want an LbPolicy"),
        (
            {"policy": {"stages": {"s/a": {"outlierDetection": {"maxEjectionPercent": 101}}}}},
            "policy.stages['s/a'].outlierDetection.maxEjectionPercent is 101, want 0 to 100",
        ),
        (
            {"policy": {"stages": {"s/a": {"outlierDetection": {"interval": "0s"}}}}},
            "outlierDetection.interval is 0 s",
        ),
        (canary(weight=101), "'canary': weight is 101"),
        (
            {
                "traffic": {
                    "variants": [CANARY | {"weight": 60}, CANARY | {"name": "b", "weight": 60}]
                }
            },
            "the sum of the weights of traffic.variants is 120, want 0 to 100",
        ),
        (canary(CANARY), "is named 'canary', want distinct names"),
        (canary(name="main"), "named 'main', want distinct"),
        (canary(name="a@b"), "name of a variant is 'a@b'"),
        (
            {"traffic": {"variants": [CANARY | {"chain": []}]}},
            "variant 'canary': chain has 0 stages",
        ),
        (
            {"traffic": {"variants": [CANARY | {"chain": ["b"]}]}},
            "variant 'canary': stage 1 is 'b'",
        ),
        (canary(headers={"a b": "1"}), "a header is 'a b'"),
        (
            canary(headers={"X-Hydro-Model": "1"}),
            "does not start with 'x-hydro-'",
        ),
        (canary(headers={"a": "é"}), "want 1 to 256 characters"),
        ({"traffic": {"shadow": {"chain": ["s/a"], "percent": 101}}}, "percent is 101, want 0 to"),
        ({"traffic": {"shadow": {}}}, "variant 'shadow': chain has 0 stages"),
        ({"traffic": {"stickyHeader": ":path"}}, "traffic.stickyHeader is ':path'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    plain = {"name": "p", "chain": ["s/a"]}
    given = ({} if "traffic" in changes else {"traffic": WANTED["traffic"]}) | changes
    with pytest.raises(InvalidArgument) as raised:
        conversion.parse_spec(ParseDict(plain | given, pb.Pipeline()))
    assert words in raised.value.message


def test_a_policy_is_for_a_stage_as_its_chain_writes_it() -> None:
    limit = {"circuitBreaker": {"maxRequests": 3}}
    versioned = {"chain": ["s/a:1"], "traffic": {}}
    found = spec(**versioned, policy={"stages": {"s/a:1": limit}})
    (stage,) = mesh_plan._build_pipeline(found, (ResolvedStage("s/a:1", "s", A),), None).stages
    assert stage.policy.max_requests == 3
    with pytest.raises(InvalidArgument, match=r"has 's/a', the stages are s/a:1"):
        spec(**versioned, policy={"stages": {"s/a": limit}})


@pytest.mark.parametrize("name", ["x-api-key", "Authorization"])
def test_secrets_choose_no_variant(name: str) -> None:
    variant = {"name": "v", "chain": ["s/b"], "headers": {name: "k"}}
    with pytest.raises(InvalidArgument, match="that does not start with"):
        spec(traffic={"variants": [variant], "shadow": {"chain": ["s/b"]}})
