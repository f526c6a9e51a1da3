"""The scripts that Envoy runs, without Envoy: the same LuaJIT, and a request made here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import lupa.luajit21
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hydro_envoy
from hydro_envoy.policy import ApiKey
from hydro_envoy.resources import access
from hydro_envoy.resources.access import callers_filter
from hydro_envoy.resources.display import to_json

FOLDER = Path(hydro_envoy.__file__).parent / "resources"
REQUEST = """
function request(headers, wanted, metadata, now_ms)
  local sent = {}
  local handle = {}
  function handle:headers()
    return {
      get = function(_, name) return headers[name] end,
      replace = function(_, name, value) headers[name] = value end,
      remove = function(_, name) headers[name] = nil end,
    }
  end
  function handle:filterContext() return {get = function(_, name) return wanted[name] end} end
  function handle:timestamp() return now_ms end
  function handle:streamInfo()
    return {dynamicMetadata = function() return {get = function() return metadata end} end}
  end
  function handle:respond(head, body) sent.status, sent.body = head[":status"], body end
  envoy_on_request(handle)
  local secret = headers["x-api-key"] or headers.authorization
  return headers["x-hydro-caller"], sent.status, sent.body, secret
end
"""


@cache
def lua(script: str) -> Any:
    machine = lupa.luajit21.LuaRuntime(unpack_returned_tuples=True)
    machine.execute(script)
    machine.execute(REQUEST)
    return machine


def sha256() -> Any:
    machine = lupa.luajit21.LuaRuntime(encoding=None)
    machine.execute((FOLDER / "sha256.lua").read_bytes())
    return machine.globals()[b"sha256"]


SHA256 = sha256()


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@given(st.binary(max_size=300))
def test_sha256_is_sha256(text: bytes) -> None:
    assert SHA256(text).decode() == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize("blocks", [1, 2, 3, 17])
def test_sha256_is_right_around_the_ends_of_blocks(blocks: int) -> None:
    for size in range(blocks * 64 - 12, blocks * 64 + 4):
        text = bytes(i * 7 % 256 for i in range(size))
        assert SHA256(text).decode() == hashlib.sha256(text).hexdigest(), size


def named(
    *api_keys: ApiKey,
    headers: Mapping[str, str],
    wanted: Mapping[str, Any] | None = None,
    token: Any = None,
    now_s: float = 1_000.0,
) -> tuple[str | None, str | None, str | None]:
    """Whom the script names, and what it answers: a status and a text."""
    script = access._lua_filter("callers", access._key_lines(api_keys)).default_source_code
    assert script
    machine = lua(script.inline_string)
    context = {"pipeline": "p", "wants": "want a key", "callers": "*"} if wanted is None else wanted
    tables = [machine.table_from(each, recursive=True) for each in (headers, context, token or {})]
    caller, status, text, secret = machine.globals().request(*tables, now_s * 1000)
    assert secret is None, "no key and no token goes on"
    return caller, status, text


KEY = "hydro_" + "k" * 43
SCHEMES = st.lists(st.booleans(), min_size=6, max_size=6).map(
    lambda upper: "".join(c.upper() if u else c for c, u in zip("bearer", upper, strict=True))
)


@given(SCHEMES, st.text(" \t", min_size=1, max_size=3), st.text(" \t", max_size=3))
def test_the_scheme_has_no_case_and_space_around_a_key_no_meaning(
    scheme: str, between: str, after: str
) -> None:
    key = ApiKey(hashed(KEY), "acme")
    for headers in (
        {"authorization": f"{after}{scheme}{between}{KEY}{after}"},
        {"x-api-key": f"{between}{KEY}{after}"},
    ):
        assert named(key, headers=headers)[0] == "key/acme"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"x-api-key": f"{KEY},{KEY}"}, id="a key twice"),
        pytest.param({"x-api-key": f"{KEY} {KEY}"}, id="two in one"),
        pytest.param({"authorization": f"Bearer {KEY},Bearer {KEY}"}, id="a bearer twice"),
        pytest.param({"authorization": f"Basic x Bearer {KEY}"}, id="not at the start"),
        pytest.param({"authorization": f"Bearer {KEY} x"}, id="more behind it"),
        pytest.param({"authorization": f"Digest {KEY}"}, id="another scheme"),
    ],
)
def test_what_is_not_one_key_names_nobody(headers: dict[str, str]) -> None:
    assert named(ApiKey(hashed(KEY), "acme"), headers=headers)[:2] == (None, "401")


@pytest.mark.parametrize(
    ("header", "is_let_in"),
    [
        ({}, True),
        ({"typ": "JWT"}, True),
        ({"typ": "application/at+jwt"}, True),
        ({"typ": "jwt", "kid": "1"}, True),
        ({"typ": "logout+jwt"}, False),
        ({"typ": "JWE"}, False),
        ({"typ": ""}, False),
        ({"typ": 1}, False),
        ({"typ": ["JWT"]}, False),
        ({"crit": []}, False),
        ({"crit": ["exp"]}, False),
        ({"crit": "b64"}, False),
        ({"crit": False}, False),
        ({"typ": "JWT", "crit": ["x"], "x": 1}, False),
    ],
    ids=str,
)
def test_a_token_whose_header_is_not_understood_is_refused(
    header: dict[str, Any], is_let_in: bool
) -> None:
    wanted = {"pipeline": "p", "wants": "want a token", "claims": {}}
    token = {"header": header, "payload": {"sub": "s"}}
    caller, status, text = named(headers={}, wanted=wanted, token=token)
    assert (caller, status) == (("jwt/s", None) if is_let_in else (None, "401"))
    assert is_let_in or "; want a token" in (text or "")


@given(st.text(max_size=40) | SCHEMES.map(lambda scheme: f"{scheme} a.b.c"))
def test_only_what_is_one_bearer_is_handed_on_as_a_token(sent: str) -> None:
    script = access._lua_filter("token").default_source_code
    assert script
    machine = lua(script.inline_string)
    empty = machine.table_from({})
    headers = machine.table_from({"authorization": sent, "x-hydro-bearer": "forged"})
    machine.globals().request(headers, empty, empty, 0)
    words = sent.strip(" \t\n\v\f\r").split()
    is_one = len(words) == 2 and words[0].lower() == "bearer"
    assert headers["x-hydro-bearer"] == (words[1] if is_one else None)


SENT = {"x-api-key": KEY}


@pytest.mark.parametrize(
    ("expires_s", "now_s", "want"),
    [
        pytest.param(0, 4e9, None, id="never ends"),
        pytest.param(1_000, 999.9, None, id="a moment before"),
        pytest.param(1_000, 1_000.0, "this key has expired; want a key", id="at its end"),
        pytest.param(1_000, 9e9, "this key has expired; want a key", id="long after"),
    ],
)
def test_a_key_is_good_until_it_ends(expires_s: int, now_s: float, want: str | None) -> None:
    key = ApiKey(hashed(KEY), "acme", (), expires_s)
    caller, status, text = named(key, headers=SENT, now_s=now_s)
    assert (caller, text) == (None if want else "key/acme", want)
    assert status == ("401" if want else None)


@pytest.mark.parametrize(
    ("pipelines", "callers", "is_let_in"),
    [
        pytest.param((), "*", True, id="all"),
        pytest.param(("o", "p"), "*", True, id="key for it"),
        pytest.param(("o", "pp"), "*", False, id="key for others"),
        pytest.param(("P",), "*", False, id="another case"),
        pytest.param((), ",acme,b,", True, id="among callers"),
        pytest.param((), ",ac,me,", False, id="not among callers"),
        pytest.param((), None, False, id="takes no keys"),
    ],
)
def test_a_key_opens_what_it_is_for(
    pipelines: tuple[str, ...], callers: str | None, is_let_in: bool
) -> None:
    wanted = {"pipeline": "p", "wants": "want", "claims": {}} | (
        {"callers": callers} if callers else {}
    )
    caller, _, _ = named(ApiKey(hashed(KEY), "acme", pipelines), headers=SENT, wanted=wanted)
    assert caller == ("key/acme" if is_let_in else None)


@pytest.mark.parametrize(
    ("subject", "want"),
    [
        pytest.param("anna", "jwt/anna", id="plain"),
        pytest.param("auth0|5", "jwt/auth0|5", id="with a bar"),
        pytest.param("a b%\r\nü", "jwt/a%20b%25%0D%0A%C3%BC", id="no header's"),
        pytest.param(None, "jwt/", id="none"),
        pytest.param("x" * 255, "jwt/" + "x" * 255, id="longest"),
        pytest.param("x" * 256, None, id="too long"),
    ],
)
def test_a_subject_is_told_apart_from_all_others(subject: str | None, want: str | None) -> None:
    token = {"payload": {"sub": subject} if subject else {}}
    wanted = {"pipeline": "p", "wants": "want a token", "claims": {}}
    assert named(headers={"authorization": "Bearer t"}, wanted=wanted, token=token)[0] == want


@pytest.mark.parametrize(
    ("claim", "has_it"),
    [
        ("a", True),
        ("b a c", True),
        (["b", "a"], True),
        ("ab", False),
        (["ab", "b a"], False),
        ([], False),
        (None, False),
        (True, False),
        ({"a": "a"}, False),
        ("a,b", False),
    ],
    ids=str,
)
def test_a_claim_is_or_has_what_is_wanted(claim: Any, has_it: bool) -> None:
    wanted = {"pipeline": "p", "wants": "want a token", "claims": {"c": "a"}}
    token = {"payload": {"sub": "s"} | ({} if claim is None else {"c": claim})}
    caller, status, _ = named(headers={}, wanted=wanted, token=token)
    assert (caller, status) == (("jwt/s", None) if has_it else (None, "403"))


@given(st.text(max_size=200))
def test_no_made_up_key_is_let_in_or_told(text: str) -> None:
    key = ApiKey(hashed(KEY), "acme")
    caller, status, answer = named(key, headers={"x-api-key": text})
    assert (caller, status, answer) == (None, "401", "this key is not known; want a key")


def test_keys_are_shown_by_their_hashes_alone() -> None:
    shown = to_json(callers_filter([ApiKey(hashed(KEY), "acme", ("p",), 5)]))
    assert f"{hashed(KEY)} acme 5 ,p,\\n" in shown
    assert KEY not in shown


@pytest.mark.parametrize(
    ("header", "is_let_in"),
    [
        (f"Bearer {KEY}", True),
        (f"bearer {KEY}", True),
        (f"BEARER   {KEY} ", True),
        (f"Bearer\t{KEY}", True),
        (f"Bearer {KEY},Bearer {KEY}", False),
        (f"Bearer{KEY}", False),
        (f"x Bearer {KEY}", False),
        (KEY, False),
        (f"Basic {KEY}", False),
        (f"Bearer {KEY}x", False),
        (f"Bearer {KEY} x", False),
        ("", False),
    ],
)
def test_the_admin_key_is_one(header: str, is_let_in: bool) -> None:
    (script,) = [access._lua_filter("admin", f'ADMIN = "{hashed(KEY)}"').default_source_code]
    assert script
    machine = lua(script.inline_string)
    empty = machine.table_from({})
    headers = machine.table_from({"authorization": header})
    caller, status, text, _ = machine.globals().request(headers, empty, empty, 0)
    assert (caller, status) == (("admin", None) if is_let_in else (None, "401"))
    assert KEY not in (text or "")
