"""Joins a mesh with TLS: an Envoy's first certificate by an invitation, and each next by the last.

The key is made here and never leaves this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc.aio

from hydro.manager.v1 import certificate_service_pb2 as pb
from hydro.manager.v1 import certificate_service_pb2_grpc as pb_grpc
from hydro_envoy.address import Address
from hydro_envoy.nodes import JOIN_NAME
from hydro_envoy.proxy import manager_cluster
from hydro_services import errors, rpc
from hydro_services.security.certificates import Identity, KeyPair, key_to_pem, make_csr, new_key
from hydro_services.security.private_files import write_private
from hydro_services.security.wall_clock import ClockJumps

logger = logging.getLogger(__name__)

CALL_S = 5.0
RETRY_S = 0.2
MAX_RETRY_S = 1.0
NEEDS_HELP = (errors.PermissionDenied, errors.InvalidArgument)
"""What no further try mends."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What lets a process join, as `hydro invite` wrote it."""

    ca: str
    """The authority's certificate, PEM."""
    invitation: str

    @classmethod
    def read(cls, file: Path) -> Invitation:
        """From a file.

        Raises:
            InvalidArgument: it cannot be read or is none.
        """
        try:
            content = json.loads(file.read_text())
            return cls(content["ca"], content["invitation"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            way_out = "make one by `hydro invite` beside the manager"
            raise errors.InvalidArgument(
                f"{file} is not an invitation: {error!r}; {way_out}"
            ) from error


@contextlib.asynccontextmanager
async def keep_enrolled(
    file: Path, identity: Identity, managers: Sequence[Address], folder: Path
) -> AsyncIterator[manager_cluster.IdentityFiles]:
    """The files with the identity, kept fresh until the context ends.

    A certificate that was got earlier and is still good serves; then a lapsed invitation does no
    harm. Waits for a manager as long as it takes.

    Args:
        file: the invitation.
        identity: whose certificate.
        managers: the managers' sidecars.
        folder: where to keep the files; others cannot read them.

    Raises:
        InvalidArgument: the file is not an invitation.
        PermissionDenied: the invitation is not for this identity, not of this mesh or too old.
    """
    keeper = _CertificateRenewer(Invitation.read(file), identity, managers, folder)
    await keeper.begin()
    renewing = asyncio.create_task(keeper.renew())
    try:
        yield keeper.files
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


def renewal_pause_s(held: KeyPair, now: datetime) -> float:
    """How long to keep a certificate before the next is asked for."""
    left = (held.expires - now).total_seconds()
    return left / 2 if held.is_valid(now) and left > 2 * RETRY_S else MAX_RETRY_S


class _CertificateRenewer:
    def __init__(
        self, invitation: Invitation, identity: Identity, managers: Sequence[Address], folder: Path
    ) -> None:
        self._invitation = invitation
        self._identity = identity
        self._managers = managers
        folder = Path(os.path.abspath(folder))  # Envoy watches no other kind
        self._kept = folder / "identity.pem"
        self.files = manager_cluster.IdentityFiles(
            folder / "tls" / "identity.json", folder / "tls" / "ca.pem"
        )
        self._held: KeyPair | None = None

    async def begin(self) -> None:
        """Has a certificate afterwards."""
        # The authority first: Envoy reads it as soon as the secret below is there.
        write_private(self.files.ca, self._invitation.ca.encode())
        self._held = self._left_over()
        if self._held:
            self._write(self._held)
        else:
            await self._sign()

    async def renew(self) -> None:
        """Gets the next certificate at half the validity of the present one; without end.

        Where the clock jumps, by which it is valid, at once.
        """
        jumps = ClockJumps()
        while True:
            assert self._held
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(renewal_pause_s(self._held, datetime.now(UTC))):
                    await jumps.next()
            with contextlib.suppress(errors.HydroError):
                await self._sign()

    def _left_over(self) -> KeyPair | None:
        try:
            certificate, _, key = self._kept.read_bytes().partition(b"\n\n")
            held = KeyPair(certificate, key)
            return held if held.is_valid(datetime.now(UTC)) else None
        except (OSError, ValueError):
            return None

    async def _sign(self) -> None:
        """Asks the managers until one answers; logs what only a person can mend."""
        pause, is_logged = RETRY_S, False
        while True:
            for manager in self._managers:
                try:
                    self._held = await self._ask(manager)
                    return self._write(self._held)
                except grpc.aio.AioRpcError as error:
                    failure = errors.from_rpc(error)
                # Another manager would say the same: all have one authority.
                if isinstance(failure, NEEDS_HELP):
                    logger.error("no certificate", extra={"error": failure.message})
                    raise failure
                if not is_logged:
                    extra = {"address": str(manager), "error": failure.message}
                    logger.warning("no certificate yet, retrying", extra=extra)
                is_logged = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_RETRY_S)

    async def _ask(self, manager: Address) -> KeyPair:
        # A new key with each certificate; the last, while it is valid, proves who asks. Once it has
        # lapsed the invitation does so again.
        key = new_key()
        shown = self._held if self._held and self._held.is_valid(datetime.now(UTC)) else None
        credentials = grpc.ssl_channel_credentials(
            self._invitation.ca.encode(),
            shown.key if shown else None,
            shown.certificate if shown else None,
        )
        options = [*rpc.DIRECT, ("grpc.ssl_target_name_override", JOIN_NAME)]
        wanted = pb.SignCertificateRequest(
            service=self._identity.service,
            instance=self._identity.instance,
            csr=make_csr(key, self._identity),
            invitation="" if shown else self._invitation.invitation,
        )
        async with grpc.aio.secure_channel(str(manager), credentials, options) as channel:
            stub = pb_grpc.CertificateServiceStub(channel)
            answer = await stub.SignCertificate(wanted, timeout=CALL_S)
        return KeyPair(answer.certificate, key_to_pem(key))

    def _write(self, held: KeyPair) -> None:
        # Certificate and key in one file: two could be of different certificates after a crash.
        write_private(self._kept, held.certificate.rstrip() + b"\n\n" + held.key)
        content = manager_cluster.secret_json(held.certificate, held.key)
        write_private(self.files.secret, content.encode())
