"""Tokens of an issuer of our own, right and wrong ones."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from joserfc import jwk, jwt

from hydro_envoy.policy import Jwt

ISSUER = "https://login.example"


SIGNERS: dict[str, jwk.Key] = {
    "RS256": jwk.RSAKey.generate_key(2048, parameters={"kid": "rs"}),
    "ES256": jwk.ECKey.generate_key("P-256", parameters={"kid": "es"}),
    "HS256": jwk.OctKey.generate_key(256, parameters={"kid": "hs"}),
}
PUBLIC = [k.as_dict(private=name == "HS256") for name, k in SIGNERS.items()]
TOKENS = Jwt(ISSUER, ("hydro",), json.dumps({"keys": PUBLIC}))
OTHERS = jwk.RSAKey.generate_key(2048, parameters={"kid": "rs"})


def token(alg: str = "RS256", signer: jwk.Key | None = None, **claims: Any) -> dict[str, str]:
    """A header with a token that is right but for what is given; None: without the claim."""
    usual = {"iss": ISSUER, "aud": "hydro", "sub": "anna", "exp": int(time.time()) + 300}
    content = {name: value for name, value in (usual | claims).items() if value is not None}
    header = {"alg": alg, "kid": alg[:2].lower()}
    return {"authorization": f"Bearer {jwt.encode(header, content, signer or SIGNERS[alg])}"}


def crafted(header: str, claims: str) -> dict[str, str]:
    """A token of just this, signed as it should be."""
    signed = b".".join(urlsafe_b64encode(each.encode()).rstrip(b"=") for each in (header, claims))
    secret = urlsafe_b64decode(f"{SIGNERS['HS256'].as_dict(private=True)['k']}==")
    signature = urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")
    return {"authorization": f"Bearer {(signed + b'.' + signature).decode()}"}


HEADER = '{"alg":"HS256","kid":"hs"}'
CLAIMS = f'"iss":"{ISSUER}","sub":"anna"'
LATER, PAST = "4102444800", "1000"
RIGHT = f'{{{CLAIMS},"aud":"hydro","exp":{LATER}}}'
