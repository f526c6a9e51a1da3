"""Who may call, under the real Envoy: what anyone can do without a policy, and who can with one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any

import grpc
import pytest
import pytest_asyncio
from control_mesh import ControlMesh
from echo_runtime import EchoRuntime
from grpc import aio
from meshes import MAX_MESSAGE_BYTES, pipeline
from patience import PATIENCE_S
from policy_mesh import Policies, refused, until
from tokens import HEADER, ISSUER, LATER, OTHERS, PAST, RIGHT, SIGNERS, TOKENS, crafted, token

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.mesh import Shadow, Traffic, Variant
from hydro_envoy.policy import Access, ApiKey, Policy, RateLimit
from hydro_envoy.resources import access
from hydro_envoy.snapshot import Ref, ResourceType, Snapshot, diff

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


OK = grpc.StatusCode.OK
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def key(name: str) -> str:
    return f"hydro_{name:x<43}"


def kept(name: str, *pipelines: str, caller: str = "", expires_s: int = 0) -> ApiKey:
    hashed = sha256(key(name).encode()).hexdigest()
    return ApiKey(hashed, caller or name, pipelines, expires_s)


def with_key(name: str) -> dict[str, str]:
    return {"x-api-key": key(name)}


KEYS = (kept("acme"), kept("globex"), kept("elsewhere", "q", "r"), kept("old", expires_s=1_000))
ANY_KEY = Access(callers=())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def p(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Policies]:
    """One Envoy for all tests here: none of them breaks anything."""
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(ControlMesh(tmp_path_factory.mktemp("access")))
        a = await stack.enter_async_context(EchoRuntime("A"))
        b = await stack.enter_async_context(EchoRuntime("B"))
        await mesh.use(api_keys=KEYS)
        yield Policies(mesh, a, b)


@contextmanager
def nothing_reaches(*runtimes: EchoRuntime) -> Iterator[None]:
    before = [len(runtime.seen) for runtime in runtimes]
    yield
    assert [len(runtime.seen) for runtime in runtimes] == before, "refused before any stage"


async def code(p: Policies, **headers: str) -> grpc.StatusCode:
    (found,) = await p.codes(1, **headers)
    return found


async def test_only_who_has_a_key_may_call(p: Policies) -> None:
    await p.chain("a", "b")
    assert await code(p) is OK, "without: anyone calls"
    await p.chain("a", "b", access=ANY_KEY)
    with nothing_reaches(p.a, p.b):
        error = await p.error()
    wants = "pipeline 'p' wants an API key in the header x-api-key"
    assert (error.code(), error.details()) == (UNAUTHENTICATED, wants)
    assert dict(error.trailing_metadata() or ())["www-authenticate"] == 'Bearer realm="hydro"'
    answer = await p.serve()
    assert refused(answer, 401, 16) == wants
    assert answer.json["reason"] == "UNAUTHENTICATED"
    assert answer.json["details"][0]["metadata"] == {"pipeline": "p"}
    assert answer.headers["www-authenticate"] == 'Bearer realm="hydro"'
    assert await p.predict(**with_key("acme")) == "xAB"
    assert await p.predict(authorization=f"Bearer {key('acme')}") == "xAB"
    assert (await p.serve(headers={"X-Api-Key": key("globex")})).body == b"xAB"


@pytest.mark.parametrize(
    ("headers", "want", "status", "why"),
    [
        pytest.param(with_key("acmf"), UNAUTHENTICATED, 401, "not known", id="unknown"),
        pytest.param(with_key("old"), UNAUTHENTICATED, 401, "has expired", id="expired"),
        pytest.param(with_key("elsewhere"), DENIED, 403, "is for others", id="other pipelines"),
        pytest.param({"x-api-key": "x" * 8000}, UNAUTHENTICATED, 401, "not known", id="long"),
        pytest.param({"x-api-key": ""}, UNAUTHENTICATED, 401, "not known", id="empty"),
        pytest.param({"x-hydro-caller": "key/acme"}, UNAUTHENTICATED, 401, "wants", id="forged"),
    ],
)
async def test_a_key_that_does_not_fit_is_refused_and_not_repeated(
    p: Policies, headers: dict[str, str], want: grpc.StatusCode, status: int, why: str
) -> None:
    await p.chain("a", access=ANY_KEY)
    with nothing_reaches(p.a):
        error = await p.error(**headers)
        message = refused(await p.serve(headers=headers), status, want.value[0])
    assert error.code() is want
    assert why in message
    assert message == error.details()
    assert not [v for v in headers.values() if v and v in message]


async def test_a_pipeline_may_be_for_some_callers(p: Policies) -> None:
    await p.chain("a", access=ANY_KEY)
    assert await code(p, **with_key("globex")) is OK
    await p.chain("a", access=Access(callers=("acme", "glob")))
    assert await code(p, **with_key("globex")) is DENIED
    assert await code(p, **with_key("acme")) is OK


async def test_stages_learn_who_calls_and_no_key(p: Policies) -> None:
    shadow = Traffic(shadow=Shadow(pipeline("s", "b", "b").stages))
    await p.chain("a", "a", access=ANY_KEY, traffic=shadow)
    p.a.client_headers.clear()
    p.b.client_headers.clear()
    secret = key("acme")
    sent = {"x-api-key": secret, "authorization": f"Bearer {secret}", "x-hydro-caller": "key/root"}
    assert await p.predict(**sent) == "xAA"

    async def copied() -> bool:
        return bool(p.b.client_headers and p.b.seen[-1]["x-hydro-position"] == "last")

    await until(copied)
    seen = [*p.a.client_headers, *p.b.client_headers, p.a.seen[-1], p.b.seen[-1]]
    assert [headers["x-hydro-caller"] for headers in seen] == ["key/acme"] * 4
    assert not [headers for headers in seen if secret in str(headers)]


async def test_a_stream_is_checked_at_its_start(p: Policies) -> None:
    await p.chain("a", access=ANY_KEY)
    call = p.mesh.stub.PredictStream(timeout=PATIENCE_S)
    await call.write(Frame(pipeline="p", id="x"))
    with nothing_reaches(p.a), pytest.raises(aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() is UNAUTHENTICATED


async def test_a_revoked_key_ends_no_stream_and_changes_nothing_else(p: Policies) -> None:
    await p.chain("a", access=ANY_KEY, rate_limit_per_api_key=RateLimit(3, 3600.0))
    calls = {
        name: p.mesh.stub.PredictStream(timeout=PATIENCE_S, metadata=tuple(with_key(name).items()))
        for name in ("acme", "globex")
    }
    for call in calls.values():
        await call.write(Frame(pipeline="p", id="1"))
        assert (await call.read()).id == "1A"
    before = p.mesh.hub.snapshot
    await use_keys(p, *KEYS[1:], kept("new"))
    assert changed(before, p.mesh.hub.snapshot) == [Ref(ResourceType.FILTER, "callers")]
    assert await code(p, **with_key("acme")) is UNAUTHENTICATED
    assert await code(p, **with_key("new")) is OK
    for call in calls.values():
        await call.write(Frame(id="2"))
        assert (await call.read()).id == "2A"
        await call.done_writing()
        assert await call.read() is aio.EOF
    assert await p.codes(3, **with_key("globex")) == {OK: 2, EXHAUSTED: 1}, "buckets stay filled"
    await use_keys(p, *KEYS)


async def use_keys(p: Policies, *keys: ApiKey) -> None:
    await p.mesh.use(api_keys=keys)
    await p.mesh.hub.wait_applied(timeout_s=PATIENCE_S)


def changed(before: Snapshot, after: Snapshot) -> list[Ref]:
    return [Ref(change.type, change.name) for change in diff(before, after)]


async def test_ten_thousand_keys_are_one_resource(p: Policies) -> None:
    await use_keys(p, *(kept(str(i)) for i in range(10_000)))
    await p.chain("a", access=ANY_KEY)
    assert await code(p, **with_key("9999")) is OK
    assert await code(p, **with_key("10000")) is UNAUTHENTICATED
    await use_keys(p, *KEYS)


async def test_limits_count_callers_and_not_what_they_say(p: Policies) -> None:
    made_up = [{"x-api-key": str(i)} for i in range(4)]
    limit = RateLimit(2, 3600.0)
    await p.chain("a", rate_limit_per_api_key=limit)
    assert [await code(p, **headers) for headers in made_up] == [OK] * 4, "without: as many as keys"
    await use_keys(p, *KEYS, kept("acme2", caller="acme"))
    await p.chain("a", rate_limit_per_api_key=limit, access=ANY_KEY)
    assert [await code(p, **headers) for headers in made_up] == [UNAUTHENTICATED] * 4
    mine = [with_key("acme"), with_key("acme2"), with_key("acme2"), with_key("globex")]
    assert [await code(p, **headers) for headers in mine] == [OK, OK, EXHAUSTED, OK]
    await use_keys(p, *KEYS)


async def test_variants_are_behind_the_same_check(p: Policies) -> None:
    canary = Variant("canary", pipeline("c", "b").stages, 0, (("x-team", "qa"),))
    await p.chain("a", access=ANY_KEY, traffic=Traffic((canary,)), max_message_bytes=1_000)
    assert await code(p, **{"x-team": "qa"}) is UNAUTHENTICATED
    assert await p.predict(**with_key("acme"), **{"x-team": "qa"}) == "xB"
    assert (await p.error("x" * 9_000, **with_key("acme"))).code() is EXHAUSTED
    assert MAX_MESSAGE_BYTES > 9_000


async def test_a_check_that_fails_lets_nobody_in(
    p: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    await p.chain("a", access=ANY_KEY)
    whole = access._lua_filter
    broken = "\nlocal right = envoy_on_request\nfunction envoy_on_request(h) nothing.there() end"
    monkeypatch.setattr(access, "_lua_filter", lambda name, data: whole(name, data + broken))
    await use_keys(p, *KEYS, kept("another"))
    with nothing_reaches(p.a):
        error = await p.error(**with_key("acme"))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "the caller of pipeline 'p' could not be determined"
    monkeypatch.undo()
    await use_keys(p, *KEYS)
    assert await code(p, **with_key("acme")) is OK


@pytest.mark.parametrize("alg", SIGNERS)
async def test_who_has_a_token_of_the_issuer_may_call(p: Policies, alg: str) -> None:
    await p.chain("a", access=Access(jwt=TOKENS))
    error = await p.error()
    wants = f"pipeline 'p' wants a token of {ISSUER} in the header authorization: Bearer"
    assert (error.code(), error.details()) == (UNAUTHENTICATED, wants)
    assert await p.predict(**token(alg)) == "xA"
    assert p.a.seen[-1]["x-hydro-caller"] == "jwt/anna"
    assert "authorization" not in p.a.seen[-1]
    assert (await p.serve(headers=token(alg))).body == b"xA"


@pytest.mark.parametrize(
    ("sent", "want", "why"),
    [
        pytest.param(token(exp=1_000), UNAUTHENTICATED, "expired", id="expired"),
        pytest.param(token(exp=None), UNAUTHENTICATED, "Jwt", id="without an end"),
        pytest.param(token(nbf=int(time.time()) + 900), UNAUTHENTICATED, "Jwt", id="not yet"),
        pytest.param(token(signer=OTHERS), UNAUTHENTICATED, "verification fails", id="signature"),
        pytest.param(token(iss="https://other"), UNAUTHENTICATED, "issuer", id="issuer"),
        pytest.param(token(iss=None), UNAUTHENTICATED, "Jwt", id="no issuer"),
        pytest.param({"authorization": "Bearer a.b.c"}, UNAUTHENTICATED, "Jwt", id="no token"),
        pytest.param({"authorization": "Basic YTpi"}, UNAUTHENTICATED, "wants", id="not a bearer"),
        pytest.param(with_key("acme"), UNAUTHENTICATED, "wants", id="key instead"),
        pytest.param(token(aud="other"), DENIED, "Audiences", id="audience"),
        pytest.param(token(sub="x" * 300), DENIED, "sub", id="endless subject"),
    ],
)
async def test_a_token_that_is_not_right_is_refused(
    p: Policies, sent: dict[str, str], want: grpc.StatusCode, why: str
) -> None:
    await p.chain("a", access=Access(jwt=TOKENS))
    with nothing_reaches(p.a):
        error = await p.error(**sent)
        message = refused(
            await p.serve(headers=sent), {16: 401, 7: 403}[want.value[0]], want.value[0]
        )
    assert (error.code(), error.details()) == (want, message)
    assert why in message
    assert "wants a token" in message


@pytest.mark.parametrize(
    ("header", "claims", "is_let_in"),
    [
        pytest.param(HEADER, RIGHT, True, id="right"),
        pytest.param(HEADER, RIGHT.replace('"hydro"', '["x","hydro"]'), True, id="audiences"),
        pytest.param(HEADER, RIGHT.replace('"hydro"', '["x"]'), False, id="other audiences"),
        pytest.param(HEADER, RIGHT.replace('"hydro"', "[]"), False, id="no audiences"),
        pytest.param(HEADER, RIGHT.replace('"hydro"', "7"), False, id="an odd audience"),
        pytest.param(HEADER, RIGHT.replace('"aud":"hydro",', ""), False, id="no audience"),
        pytest.param(HEADER, RIGHT.replace(LATER, f'"{LATER}"'), False, id="exp as text"),
        pytest.param(HEADER, RIGHT.replace(LATER, "true"), False, id="exp as bool"),
        pytest.param(HEADER, RIGHT.replace(LATER, "null"), False, id="exp as null"),
        pytest.param(HEADER, RIGHT.replace(LATER, "-1"), False, id="exp below 0"),
        pytest.param(HEADER, RIGHT.replace(LATER, PAST), False, id="expired"),
        pytest.param(HEADER, RIGHT[:-1] + f',"nbf":{PAST}}}', True, id="nbf in the past"),
        pytest.param(HEADER, RIGHT[:-1] + f',"nbf":{LATER}}}', False, id="nbf to come"),
        pytest.param(HEADER, RIGHT[:-1] + f',"nbf":"{PAST}"}}', False, id="nbf as text"),
        pytest.param(HEADER[:-1] + ',"typ":"at+JWT"}', RIGHT, True, id="an access token"),
        pytest.param(HEADER[:-1] + ',"typ":"dpop+jwt"}', RIGHT, False, id="another typ"),
        pytest.param(HEADER[:-1] + ',"typ":5}', RIGHT, False, id="an odd typ"),
        pytest.param(HEADER[:-1] + ',"crit":["x"],"x":1}', RIGHT, False, id="crit"),
        pytest.param(HEADER[:-1] + ',"crit":[]}', RIGHT, False, id="empty crit"),
        pytest.param('{"alg":"none"}', RIGHT, False, id="alg none"),
        pytest.param('{"alg":"None","kid":"hs"}', RIGHT, False, id="alg None"),
        pytest.param('{"alg":"HS256","kid":"rs"}', RIGHT, False, id="alg of another key"),
        pytest.param('{"kid":"hs"}', RIGHT, False, id="no alg"),
        pytest.param(HEADER, "[]", False, id="no object"),
        pytest.param(HEADER, "{", False, id="no JSON"),
    ],
)
async def test_a_token_of_right_signature_is_let_in_where_its_content_is_right(
    p: Policies, header: str, claims: str, is_let_in: bool
) -> None:
    await p.chain("a", access=Access(jwt=TOKENS))
    found = await code(p, **crafted(header, claims))
    assert found in ((OK,) if is_let_in else (UNAUTHENTICATED, DENIED))


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR", "Bearer  "])
async def test_the_scheme_of_a_token_has_no_case(p: Policies, scheme: str) -> None:
    await p.chain("a", access=Access(callers=(), jwt=TOKENS))
    sent = crafted(HEADER, RIGHT)["authorization"].partition(" ")[2]
    assert await p.predict(authorization=f"{scheme} {sent}") == "xA"
    assert not {"authorization", "x-hydro-bearer"} & p.a.seen[-1].keys()
    assert await p.predict(authorization=f"{scheme} {key('acme')}") == "xA"


async def test_what_is_said_twice_names_nobody(p: Policies) -> None:
    await p.chain("a", access=Access(callers=(), jwt=TOKENS))
    token_of = crafted(HEADER, RIGHT)["authorization"]
    for sent in (
        [("x-api-key", key("acme")), ("x-api-key", key("acme"))],
        [("authorization", token_of), ("authorization", token_of)],
        [("authorization", "Basic YTpi"), ("authorization", token_of)],
        [("authorization", f"Basic YTpi {token_of}")],
        [("x-hydro-bearer", token_of.partition(" ")[2])],
    ):
        call = p.mesh.stub.Predict(Frame(pipeline="p"), timeout=PATIENCE_S, metadata=tuple(sent))
        with pytest.raises(aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is UNAUTHENTICATED, sent


async def test_claims_may_be_required(p: Policies) -> None:
    scope: dict[str, Any] = {"scope": "read predict"}
    await p.chain("a", access=Access(jwt=TOKENS))
    assert await code(p, **token()) is OK
    wanted = replace(TOKENS, claims=(("scope", "predict"), ("tier", "1")))
    await p.chain("a", access=Access(jwt=wanted))
    assert await code(p, **token(**scope)) is DENIED
    assert await code(p, **token(**scope, tier=2)) is DENIED
    assert await code(p, **token(scope="predictable", tier=1)) is DENIED
    assert await code(p, **token(**scope, tier=1)) is OK
    assert await code(p, **token(scope=["read", "predict"], tier="1")) is OK


async def test_a_key_or_a_token_will_do(p: Policies) -> None:
    await p.chain("a", access=Access(callers=("acme",), jwt=TOKENS))
    wants = "wants an API key in the header x-api-key or a token of"
    assert wants in str((await p.error()).details())
    right, wrong = token(), token(exp=1_000)
    assert await code(p, **right) is OK
    assert await code(p, **with_key("acme")) is OK
    assert await code(p, **with_key("acme"), **wrong) is OK
    assert await code(p, **with_key("nobody"), **right) is OK
    assert await code(p, **with_key("nobody"), **wrong) is UNAUTHENTICATED
    assert await code(p, **with_key("globex"), **wrong) is DENIED
    assert await code(p, authorization=f"Bearer {key('acme')}") is OK


async def test_a_policy_of_access_is_one_changed_front(p: Policies) -> None:
    await p.use(replace(pipeline("p", "a"), policy=Policy(timeout_s=9.0)))
    before = p.mesh.hub.snapshot
    await p.use(replace(pipeline("p", "a"), policy=Policy(timeout_s=9.0, access=ANY_KEY)))
    assert changed(before, p.mesh.hub.snapshot) == [Ref(ResourceType.ROUTES, "pipeline/p")]
