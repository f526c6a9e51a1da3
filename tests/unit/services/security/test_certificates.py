from __future__ import annotations

import asyncio
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from hydro.manager.v1 import certificate_service_pb2 as pb
from hydro_envoy.nodes import Node
from hydro_services import errors
from hydro_services.manager.api.certificates import Certificates
from hydro_services.manager.api.peers import admits_node, caller_identity
from hydro_services.security.certificates import Authority, Identity, make_csr, new_key, read_csr

HOUR = timedelta(hours=1)
SCIKIT = Identity("serving-scikit", "one")
HEADER = "Hash=ab;URI=spiffe://hydro/serving-scikit/one"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path)


def test_an_authority_is_made_once_for_its_owners_eyes(tmp_path: Path) -> None:
    first = Authority.open(tmp_path / "ca")
    assert Authority.open(tmp_path / "ca").certificate == first.certificate
    assert stat.S_IMODE((tmp_path / "ca" / "ca.key").stat().st_mode) == 0o600


def test_a_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Authority.open(tmp_path / name)
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "two" / "ca.key").read_bytes())
    with pytest.raises(errors.FailedPrecondition, match="is not the key of"):
        Authority.open(tmp_path / "one")


def test_a_certificate_says_who_and_is_valid_where_clocks_are_late(authority: Authority) -> None:
    held = authority.issue(SCIKIT, HOUR)
    found = x509.load_pem_x509_certificate(held.certificate)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://hydro/serving-scikit/one"]
    assert names.get_values_for_type(x509.DNSName) == [], "only managers have one"
    assert found.not_valid_before_utc < datetime.now(UTC) - timedelta(minutes=4)
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))


@pytest.mark.parametrize(
    ("service", "life", "told"),
    [
        pytest.param("gateway", HOUR, "is for 'gateway', not for 'serving-scikit'", id="other"),
        pytest.param("serving-scikit", -HOUR, "has expired", id="expired"),
    ],
)
def test_an_invitation_is_for_a_service_and_a_time(
    authority: Authority, service: str, life: timedelta, told: str
) -> None:
    authority.check(authority.invite("serving-scikit", HOUR), SCIKIT)
    with pytest.raises(errors.PermissionDenied, match=told):
        authority.check(authority.invite(service, life), SCIKIT)


@pytest.mark.parametrize("text", ["", "x", "a.b", "e30.e30", "ä.ö", "."])
def test_what_the_authority_did_not_sign_is_no_invitation(authority: Authority, text: str) -> None:
    with pytest.raises(errors.PermissionDenied, match="not of this mesh"):
        authority.check(text, SCIKIT)


def test_an_invitation_of_another_mesh_is_refused(authority: Authority, tmp_path: Path) -> None:
    other = Authority.open(tmp_path / "other")
    with pytest.raises(errors.PermissionDenied, match="not of this mesh"):
        authority.check(other.invite("serving-scikit", HOUR), SCIKIT)


def test_a_request_has_to_be_signed_by_its_own_key() -> None:
    key = new_key()
    csr = make_csr(key, SCIKIT)
    assert read_csr(csr) == key.public_key()
    for bad in (b"", b"x", csr[:-1], csr[:-1] + bytes([csr[-1] ^ 1])):
        with pytest.raises(errors.InvalidArgument, match="csr is malformed"):
            read_csr(bad)


@pytest.mark.parametrize("text", ["", "a", "a/", "/b", "a/b/c", "a/../b", "-a/b", "a" * 64 + "/b"])
def test_an_identity_has_two_plain_names(text: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="identity is"):
        Identity.parse(text)


def context(header: str = "") -> Any:
    metadata = [("x-forwarded-client-cert", header)] if header else []
    return SimpleNamespace(invocation_metadata=lambda: metadata)


@pytest.mark.parametrize(
    ("instance", "header", "may"),
    [
        pytest.param("one", HEADER, True, id="renews its own"),
        pytest.param("two", HEADER, False, id="asks for another's"),
        pytest.param("one", "", False, id="shows nothing"),
    ],
)
def test_a_certificate_is_renewed_by_the_last(
    authority: Authority, instance: str, header: str, may: bool
) -> None:
    csr = make_csr(new_key(), SCIKIT)
    wanted = pb.SignCertificateRequest(service="serving-scikit", instance=instance, csr=csr)
    answer = Certificates(authority, HOUR).SignCertificate(wanted, context(header))
    if may:
        assert b"BEGIN CERTIFICATE" in asyncio.run(answer).certificate
    else:
        with pytest.raises(errors.PermissionDenied, match="want serving-scikit/"):
            asyncio.run(answer)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param(HEADER, "serving-scikit/one", id="ours"),
        pytest.param("URI=spiffe://other/serving-scikit/one", "", id="another domain"),
        pytest.param('Subject="URI=spiffe://hydro/a/b"', "", id="in another field"),
    ],
)
def test_the_caller_is_in_the_certificates_uri(header: str, found: str) -> None:
    assert caller_identity(header) == found


def test_an_envoy_gets_only_what_is_its_own() -> None:
    own = "manager/m1"
    assert admits_node(own, Node("serving-scikit/one", role="sidecar"), HEADER)
    assert not admits_node(own, Node("serving-scikit/two", role="sidecar"), HEADER)
    assert not admits_node(own, Node("one", role="gateway"), HEADER)
    assert admits_node(own, Node("m1", role="gateway"), "URI=spiffe://hydro/gateway/m1")
    assert admits_node(own, Node("manager/m1", role="sidecar"), "")
    assert not admits_node(own, Node("serving-scikit/one", role="sidecar"), "")
