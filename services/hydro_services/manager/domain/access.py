"""Who may call a pipeline: what users may ask for, and what it is in the mesh's terms. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from hydro.manager.v1 import policy_pb2 as pb
from hydro_envoy.policy import Access, Jwt
from hydro_services.errors import FailedPrecondition, InvalidArgument
from hydro_services.security.keys import NAME, NAME_RULE

MAX_NAMES = 256
MAX_AUDIENCES = 16
MAX_CLAIMS = 16
MAX_JWKS = 32
TEXT = re.compile(r"[!-~]{1,255}")
VALUE = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "RSA": ("n", "e"),
    "EC": ("crv", "x", "y"),
    "OKP": ("crv", "x"),
    "oct": ("k",),
}
"""What a key has to have, by its `kty`; RFC 7518, section 6, and RFC 8037."""


def check_access(policy: pb.Policy) -> None:
    """Checks `policy.access`.

    Raises:
        InvalidArgument: it says nothing, or contradicts itself; a name, a key set or a claim is
            malformed. No key is repeated in the message.
    """
    if not policy.HasField("access"):
        return
    access = policy.access
    named = [name for name in ("api_keys", "jwt") if access.HasField(name)]
    if access.anyone == bool(named):
        got = f"anyone and {' and '.join(map(_json_name, named))}" if named else "nothing"
        raise InvalidArgument(f"policy.access has {got}, want apiKeys, jwt or both, or anyone")
    _check_count("policy.access.apiKeys.names", access.api_keys.names, 0, MAX_NAMES)
    for name in access.api_keys.names:
        if not NAME.fullmatch(name):
            what = "policy.access.apiKeys.names"
            raise InvalidArgument(f"{what} has {name[:80]!r}, want names of callers: {NAME_RULE}")
    if access.HasField("jwt"):
        _check_jwt(access.jwt)


def _check_jwt(jwt: pb.JwtAccess) -> None:
    what = "policy.access.jwt"
    _check_text(f"{what}.issuer", jwt.issuer, TEXT)
    _check_count(f"{what}.audiences", jwt.audiences, 0, MAX_AUDIENCES)
    for audience in jwt.audiences:
        _check_text(f"{what}.audiences: one", audience, TEXT)
    _check_count(f"{what}.claims", jwt.claims, 0, MAX_CLAIMS)
    for name, value in jwt.claims.items():
        _check_text(f"{what}.claims: a name", name, TEXT)
        _check_text(f"{what}.claims[{name!r}]", value, VALUE)
    _check_keys(f"{what}.jwks.keys", MessageToDict(jwt.jwks).get("keys"))


def _check_keys(what: str, keys: Any) -> None:
    if not isinstance(keys, list):
        want = 'want a JSON Web Key Set, {"keys": [{"kty": "RSA", "kid": ...}, ...]}'
        raise InvalidArgument(f"{what} is not there, {want}")
    _check_count(what, keys, 1, MAX_JWKS)
    for index, key in enumerate(keys):
        _check_key(f"{what}[{index}]", key)


def _check_key(what: str, key: Any) -> None:
    kty = key.get("kty") if isinstance(key, dict) else None
    fields = _FIELDS.get(kty) if isinstance(kty, str) else None
    if fields is None:
        raise InvalidArgument(f"{what} has no kty that is taken, want one of {', '.join(_FIELDS)}")
    if "d" in key:
        raise InvalidArgument(f"{what} has a private key, d; want the public one alone")
    for name in fields:
        value = key.get(name)
        if not isinstance(value, str) or not BASE64URL.fullmatch(value):
            raise InvalidArgument(f"{what} is of kty {kty} and has no right {name}; see RFC 7518")


def _check_text(what: str, got: str, wanted: re.Pattern[str]) -> None:
    if not wanted.fullmatch(got):
        raise InvalidArgument(f"{what} is {got[:80]!r}, want 1 to 255 characters of visible ASCII")


def _check_count(what: str, got: Any, least: int, most: int) -> None:
    if not least <= len(got) <= most:
        raise InvalidArgument(f"{what} has {len(got)} entries, want {least} to {most}")


def _json_name(name: str) -> str:
    return {"api_keys": "apiKeys"}.get(name, name)


def mesh_access(policy: pb.Policy, default: Access | None) -> Access | None:
    """Who may call; None: anyone."""
    if not policy.HasField("access"):
        return default
    access = policy.access
    if access.anyone:
        return None
    names = tuple(sorted(set(access.api_keys.names))) if access.HasField("api_keys") else None
    return Access(names, _mesh_jwt(access.jwt) if access.HasField("jwt") else None)


def _mesh_jwt(jwt: pb.JwtAccess) -> Jwt:
    jwks = json.dumps(MessageToDict(jwt.jwks), sort_keys=True)
    return Jwt(jwt.issuer, tuple(jwt.audiences), jwks, tuple(sorted(jwt.claims.items())))


def check_api_keys(policy: pb.Policy, api_keys: object | None) -> None:
    """Refuses what nobody could call.

    Raises:
        FailedPrecondition: API keys are wanted, and the manager was started without any.
    """
    if policy.access.HasField("api_keys") and api_keys is None:
        raise FailedPrecondition(
            "policy.access has apiKeys, but this mesh has no API keys; make one with "
            "`hydro keys create NAME --keys FILE` and start the mesh with `--keys FILE`"
        )
