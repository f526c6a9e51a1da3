from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_envoy import mesh
from hydro_envoy.policy import Access, ApiKey, Jwt
from hydro_services.errors import FailedPrecondition, InvalidArgument
from hydro_services.manager.domain import access, conversion, mesh_plan, policies
from hydro_services.manager.domain.state import Model, ResolvedStage, Spec, State, StoredPipeline

RSA = {"kty": "RSA", "kid": "1", "n": "AQAB", "e": "AQAB"}
JWT = {
    "issuer": "https://login.example",
    "audiences": ["hydro"],
    "jwks": {"keys": [RSA]},
    "claims": {"scope": "predict"},
}
BASE = mesh.Mesh(mesh.Gateway("127.0.0.1", 8083, b"", 1))
KEYS = Access(callers=())


def spec(wanted: Any) -> Spec:
    policy = {} if wanted is None else {"access": wanted}
    message = {"name": "p", "chain": ["s/a"], "policy": policy}
    return conversion.parse_spec(ParseDict(message, pb.Pipeline()))


def test_what_is_asked_for_reaches_the_mesh() -> None:
    wanted = spec({"apiKeys": {"names": ["globex", "acme", "acme"]}, "jwt": JWT})
    found = policies.mesh_policy(wanted.policy).access
    jwks = json.dumps({"keys": [RSA]}, sort_keys=True)
    jwt = Jwt("https://login.example", ("hydro",), jwks, (("scope", "predict"),))
    assert found == Access(("acme", "globex"), jwt)
    assert policies.mesh_policy(spec({"apiKeys": {}}).policy).access == KEYS


@pytest.mark.parametrize(
    ("wanted", "default", "want"),
    [
        pytest.param(None, None, None, id="nothing said: anyone"),
        pytest.param(None, KEYS, KEYS, id="nothing said: the default"),
        pytest.param({"anyone": True}, KEYS, None, id="anyone, whatever the default"),
        pytest.param({"apiKeys": {"names": ["a"]}}, KEYS, Access(("a",)), id="what is said"),
    ],
)
def test_the_default_holds_where_nothing_is_said(
    wanted: Any, default: Access | None, want: Access | None
) -> None:
    stage = ResolvedStage(
        "s/a", "s", Model("a", "1", "skops", "a" * 64, pb.PipelineStage().signature)
    )
    keys = (ApiKey("0" * 64, "acme"),)
    state = State({"p": StoredPipeline(spec(wanted), (stage,))}, access=default, api_keys=keys)
    found = mesh_plan.build_mesh(state, BASE)
    assert found.api_keys == keys
    assert found.pipelines[0].policy.access == want
    assert found.pipelines[0].has_policy_route == (want is not None)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        pytest.param({}, "has nothing, want apiKeys, jwt or both, or anyone", id="nothing"),
        pytest.param({"anyone": True, "apiKeys": {}}, "has anyone and apiKeys", id="both"),
        pytest.param({"apiKeys": {"names": ["a b"]}}, "has 'a b', want names", id="name"),
        pytest.param({"apiKeys": {"names": ["a,b"]}}, "has 'a,b', want names", id="comma"),
        pytest.param({"apiKeys": {"names": ["a"] * 257}}, "257 entries, want 0 to 256", id="many"),
        pytest.param({"jwt": JWT | {"issuer": ""}}, "jwt.issuer is ''", id="no issuer"),
        pytest.param({"jwt": JWT | {"issuer": "a b"}}, "jwt.issuer is 'a b'", id="issuer"),
        pytest.param({"jwt": JWT | {"audiences": [""]}}, "audiences: one is ''", id="audience"),
        pytest.param({"jwt": JWT | {"claims": {"a": ""}}}, r"claims\['a'\] is ''", id="claim"),
        pytest.param({"jwt": JWT | {"jwks": {}}}, "jwks.keys is not there", id="no keys"),
        pytest.param({"jwt": JWT | {"jwks": {"keys": []}}}, "has 0 entries", id="empty set"),
        pytest.param({"jwt": JWT | {"jwks": {"keys": [1]}}}, r"keys\[0\] has no kty", id="number"),
        pytest.param({"jwt": JWT | {"jwks": {"keys": [{"kty": []}]}}}, "no kty", id="kty"),
        pytest.param(
            {"jwt": JWT | {"jwks": {"keys": [RSA, RSA | {"n": "SECRET!"}]}}},
            r"keys\[1\] is of kty RSA and has no right n",
            id="number of a key",
        ),
        pytest.param(
            {"jwt": JWT | {"jwks": {"keys": [RSA | {"d": "SECRET"}]}}},
            "has a private key, d; want the public one alone",
            id="private key",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_way_out(wanted: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as raised:
        spec(wanted)
    assert raised.value.message.startswith("policy.access")
    assert "SECRET" not in raised.value.message


def test_a_pipeline_that_nobody_could_call_is_refused() -> None:
    wanted = spec({"apiKeys": {}})
    access.check_api_keys(wanted.policy, ())
    access.check_api_keys(spec({"jwt": JWT}).policy, None)
    with pytest.raises(FailedPrecondition, match="start the mesh with `--keys FILE`"):
        access.check_api_keys(wanted.policy, None)
