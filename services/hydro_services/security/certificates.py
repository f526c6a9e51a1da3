"""The mesh's own certificate authority: certificates for identities, and invitations.

Keys are of the curve P-256. An identity is `spiffe://hydro/<service>/<instance>`, the only URI in a
certificate. An invitation lets a process get its first certificate. It is a text that the authority
signed, so that whoever has the authority's key can check it, and none has to be stored.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hydro_envoy.nodes import JOIN_NAME, MANAGER, TRUST_DOMAIN
from hydro_services import errors
from hydro_services.security.private_files import warn_if_readable, write_private

BACKDATED = timedelta(minutes=5)
"""Before now: clocks of machines differ."""
AUTHORITY_LIFE = timedelta(days=3650)
AUTHORITY_BACKDATED = timedelta(days=365)
"""Before now: it stays valid when a clock that was ahead is set right after it was made."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Identity:
    """The process that an Envoy stands beside."""

    service: str
    instance: str

    @classmethod
    def parse(cls, text: str) -> Identity:
        """From `<service>/<instance>`.

        Raises:
            InvalidArgument: it is malformed.
        """
        service, _, instance = text.partition("/")
        if not _NAME.fullmatch(service) or not _NAME.fullmatch(instance):
            want = "want '<service>/<instance>' of at most 63 letters, digits, '-_.'"
            raise errors.InvalidArgument(f"identity is {text[:150]!r}, {want}")
        return cls(service, instance)

    def __str__(self) -> str:
        return f"{self.service}/{self.instance}"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    @property
    def expires(self) -> datetime:
        return x509.load_pem_x509_certificate(self.certificate).not_valid_after_utc

    def is_valid(self, now: datetime) -> bool:
        """Whether it is valid at this moment; it is not yet, where the clock was set back."""
        begins = x509.load_pem_x509_certificate(self.certificate).not_valid_before_utc
        return begins <= now < self.expires


class Authority:
    """Signs certificates. Whoever has its folder can make one for any identity."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Reads `ca.key` and `ca.pem`; makes them, readable by the owner alone, if need be.

        Raises:
            FailedPrecondition: they cannot be read or written, or do not belong together.
        """
        try:
            if not (folder / "ca.pem").exists():
                _make_authority(folder)
            warn_if_readable(folder / "ca.key")
            key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        except (OSError, ValueError) as error:
            way_out = "give its folder with --ca, or remove the folder to begin anew"
            message = f"cannot read the mesh's authority in {folder}: {error}; {way_out}"
            raise errors.FailedPrecondition(message) from error
        is_pair = (
            isinstance(key, ec.EllipticCurvePrivateKey)
            and key.public_key() == certificate.public_key()
        )
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not is_pair:
            raise errors.FailedPrecondition(f"{folder}/ca.key is not the key of {folder}/ca.pem")
        return cls(key, certificate)

    @property
    def certificate(self) -> bytes:
        """PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, identity: Identity, validity: timedelta) -> KeyPair:
        """A new key and a certificate for it."""
        key = new_key()
        return KeyPair(self.sign(identity, key.public_key(), validity), key_to_pem(key))

    def sign(
        self, identity: Identity, key: ec.EllipticCurvePublicKey, validity: timedelta
    ) -> bytes:
        """A certificate, PEM, valid from `BACKDATED` before now."""
        now = datetime.now(UTC)
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(f"{TRUST_DOMAIN}{identity}")
        ]
        if identity.service == MANAGER:
            # Who joins has no identity of the mesh yet, and gRPC checks a DNS name: only managers
            # have this one.
            names.append(x509.DNSName(JOIN_NAME))
        usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        signed = (
            _certificate_builder(_subject_name(str(identity)), self._certificate.subject, key)
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return signed.public_bytes(serialization.Encoding.PEM)

    def invite(self, service: str, validity: timedelta) -> str:
        """A text with which any instance of the service gets its first certificate."""
        expires = int((datetime.now(UTC) + validity).timestamp())
        # Signed, not stored: any manager with the authority can check it, and none has to remember
        # it.
        body = json.dumps({"service": service, "expires": expires, "id": secrets.token_hex(8)})
        signature = self._key.sign(body.encode(), ec.ECDSA(hashes.SHA256()))
        return ".".join(_encode_part(part) for part in (body.encode(), signature))

    def check(self, invitation: str, identity: Identity) -> None:
        """Checks an invitation.

        Raises:
            PermissionDenied: it is not of this mesh, not for this identity, or has expired.
        """
        try:
            body, signature = (_decode_part(part) for part in invitation.split("."))
            # Before the body is read as JSON: nothing of a stranger's text is parsed.
            self._key.public_key().verify(signature, body, ec.ECDSA(hashes.SHA256()))
            invited = json.loads(body)
        except (ValueError, InvalidSignature):
            message = "the invitation is not of this mesh; make one by `hydro invite`"
            raise errors.PermissionDenied(message) from None
        if invited["service"] != identity.service:
            message = f"the invitation is for {invited['service']!r}, not for {identity.service!r}"
            raise errors.PermissionDenied(message)
        if invited["expires"] < datetime.now(UTC).timestamp():
            raise errors.PermissionDenied("the invitation has expired; make one by `hydro invite`")


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as text, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def make_csr(key: ec.EllipticCurvePrivateKey, identity: Identity) -> bytes:
    """A signing request, DER."""
    builder = x509.CertificateSigningRequestBuilder(_subject_name(str(identity)))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def read_csr(csr: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a signing request.

    Raises:
        InvalidArgument: it is malformed, or not signed by its own key.
    """
    with contextlib.suppress(ValueError, TypeError):
        request = x509.load_der_x509_csr(csr)
        key = request.public_key()
        if (
            request.is_signature_valid
            and isinstance(key, ec.EllipticCurvePublicKey)
            # One curve, which every Envoy takes.
            and isinstance(key.curve, ec.SECP256R1)
        ):
            return key
    raise errors.InvalidArgument("csr is malformed, want a PKCS #10 request, DER, of a P-256 key")


def _make_authority(folder: Path) -> None:
    key, now = new_key(), datetime.now(UTC)
    subject = _subject_name("authority")
    certificate = (
        _certificate_builder(subject, subject, key.public_key())
        .not_valid_before(now - AUTHORITY_BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    # The certificate last: a folder that has none, as after a crash in between, is made anew.
    write_private(folder / "ca.key", key_to_pem(key))
    write_private(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))


def _certificate_builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())


def _subject_name(name: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "hydro")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _encode_part(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def _decode_part(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
