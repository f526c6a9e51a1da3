"""What a jump of the wall clock does: certificates are renewed, and nothing else changes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace

import grpc
import grpc.aio
import pytest
from cryptography import x509
from whole_mesh import until

from hydro.manager.v1 import certificate_service_pb2_grpc as pb_grpc
from hydro_envoy.address import Address
from hydro_envoy.nodes import MANAGER
from hydro_services.manager.api.certificates import Certificates
from hydro_services.proxy import enrol
from hydro_services.security import wall_clock
from hydro_services.security.certificates import AUTHORITY_BACKDATED, Authority, Identity
from hydro_services.security.wall_clock import JUMP_S, ClockJumps
from hydro_services.up.invitations import invite

HOUR = timedelta(hours=1)
SCIKIT = Identity("serving-scikit", "one")


@dataclass
class Clock:
    """The true time, off by some seconds."""

    off_s: float = 0.0

    def time(self) -> float:
        return time.time() + self.off_s

    def now(self, tz: tzinfo) -> datetime:
        return datetime.now(tz) + timedelta(seconds=self.off_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That of who joins, but of nobody else."""
    found = Clock()
    fake = SimpleNamespace(time=found.time, monotonic=time.monotonic)
    monkeypatch.setattr(wall_clock, "time", fake)
    monkeypatch.setattr(wall_clock, "POLL_S", 0.01)
    monkeypatch.setattr(enrol, "datetime", found)
    return found


@pytest.mark.parametrize("jumped_s", [5 * 3600, -7 * 3600])
def test_each_jump_is_told_once(clock: Clock, jumped_s: float) -> None:
    jumps = ClockJumps()
    assert jumps.take_jump() == 0
    clock.off_s += jumped_s
    assert jumps.take_jump() == pytest.approx(jumped_s, abs=1)
    assert jumps.take_jump() == 0
    clock.off_s += JUMP_S / 2
    assert jumps.take_jump() == 0, "certificates bear that"


@pytest.mark.parametrize(
    ("later", "pause_s"),
    [
        pytest.param(timedelta(0), 1800, id="half its life"),
        pytest.param(-timedelta(minutes=4), 1920, id="a clock that is late"),
        pytest.param(timedelta(hours=5), enrol.MAX_RETRY_S, id="has expired by a jump"),
        pytest.param(-timedelta(hours=7), enrol.MAX_RETRY_S, id="is not valid yet by a jump"),
    ],
)
def test_a_certificate_is_kept_while_it_is_valid(
    tmp_path: Path, later: timedelta, pause_s: float
) -> None:
    held = Authority.open(tmp_path).issue(SCIKIT, HOUR)
    assert enrol.renewal_pause_s(held, datetime.now(UTC) + later) == pytest.approx(pause_s, abs=2)


def test_an_authority_outlives_that_the_clock_is_put_right(tmp_path: Path) -> None:
    found = x509.load_pem_x509_certificate(Authority.open(tmp_path).certificate)
    made = datetime.now(UTC) - AUTHORITY_BACKDATED
    assert abs(found.not_valid_before_utc - made) < timedelta(minutes=1)


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Address]:
    """Signs for who has an invitation, by TLS; its address."""
    authority = Authority.open(tmp_path / "ca")
    own = authority.issue(Identity(MANAGER, "one"), HOUR)
    server = grpc.aio.server()
    servicer = Certificates(authority, HOUR)
    pb_grpc.add_CertificateServiceServicer_to_server(servicer, server)
    credentials = grpc.ssl_server_credentials([(own.key, own.certificate)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    yield Address("127.0.0.1", port)
    await server.stop(0)


@pytest.mark.parametrize("jumped_s", [5 * 3600, -7 * 3600])
async def test_who_has_joined_gets_another_certificate_when_the_clock_jumps(
    clock: Clock, manager: Address, tmp_path: Path, jumped_s: float
) -> None:
    """What it has is not valid by its clock, so that it shows the invitation again."""
    authority, folder = Authority.open(tmp_path / "ca"), tmp_path / "joined"
    file = invite(authority, SCIKIT.service, HOUR, tmp_path / "invitation.json")
    async with enrol.keep_enrolled(file, SCIKIT, [manager], folder):
        first = (folder / "identity.pem").read_bytes()
        clock.off_s = jumped_s
        await until(lambda: (folder / "identity.pem").read_bytes() != first, 10, "renewed")
