"""The mesh with an Envoy in front of every part, on one machine."""

from __future__ import annotations

import asyncio
import ssl
import stat
import tempfile
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from chains import create_chains, started
from clients import Clients, connect
from patience import PATIENCE_S
from whole_mesh import WholeMesh, until

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_envoy.address import Address
from hydro_services.errors import PermissionDenied
from hydro_services.proxy.enrol import keep_enrolled
from hydro_services.security.certificates import Authority, Identity
from hydro_services.up.invitations import invite

OK, PERMISSION_DENIED = "0", "7"
EMPTY = bytes(5)
"""A gRPC message of no bytes."""

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeMesh]:
    words = [
        "--sidecars",
        "--certificate-ttl=8",
        "--runtime=serving-customscikit=2",
        "--runtime=serving-localml-spark",
    ]
    running = started(tmp_path_factory.mktemp("sidecars"), *words)
    try:
        yield running
    finally:
        running.stop()


def counter(mesh: WholeMesh, part: str, name: str) -> int:
    """A counter of the Envoy of a part."""
    (admin,) = (mesh.folder / "data" / part).glob("admin.address")
    url = f"http://{admin.read_text().strip()}/stats?filter=^{name}$"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    return int(lines[0].rpartition(" ")[2]) if lines else 0


async def test_rows_pass_the_sidecars(mesh: WholeMesh, rows: list[dict[str, str]]) -> None:
    async with connect(mesh) as clients:
        await create_chains(clients)
        answers = await clients.answers("endpointML", rows)
        assert [answer["predictionLabel"] for answer in answers] == ["no", "yes"]
        assert len(await clients.answers("three", [{"text": "a"}])) == 1
    passed = [
        counter(mesh, f"sidecar-{each}", "http.ingress.downstream_rq_total")
        for each in ("serving-customscikit-1", "serving-localml-spark-1", "repository", "manager")
    ]
    assert all(passed), passed


async def test_a_sidecar_that_dies_comes_back_and_its_process_lives_on(mesh: WholeMesh) -> None:
    name = "sidecar-serving-customscikit-1"
    async with connect(mesh) as clients:
        await create_chains(clients)
        before = mesh.processes()
        (victim,) = (pid for pid in mesh.pids("envoy") if name in _command(pid))
        load = Load(clients)
        async with load:
            await until(lambda: load.sent > 20, PATIENCE_S, "load runs")
            mesh.kill_process(victim)
            await until(lambda: _is_back(mesh, name), PATIENCE_S, "the sidecar is back")
        assert load.failed == [], f"of {load.sent}"
        assert before.keys() - mesh.processes().keys() == {victim}


class Load:
    """Unary requests, two at a time, without retries, until the context ends."""

    def __init__(self, clients: Clients) -> None:
        self.sent = 0
        self.failed: list[str] = []
        self._clients = clients
        self._stop = asyncio.Event()

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(2)]

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _ask(self) -> None:
        while not self._stop.is_set():
            self.sent += 1
            answer = await self._clients.serve("two", [{"text": "a"}])
            if answer.status_code != 200:
                self.failed.append(answer.text)


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().decode()


def _is_back(mesh: WholeMesh, part: str) -> bool:
    try:
        return counter(mesh, part, "http.ingress.downstream_rq_total") > 0
    except (OSError, ValueError):
        return False


# ---- TLS


async def test_certificates_change_under_load_without_a_failed_request(mesh: WholeMesh) -> None:
    gateway = r"cluster\.serving-customscikit@last-\w+\.client_ssl_socket_factory"
    name = rf"{gateway}\.ssl_context_update_by_sds"
    async with connect(mesh) as clients:
        await create_chains(clients)
        before = counter(mesh, "gateway", name)
        load = Load(clients)
        async with load:
            await until(
                lambda: counter(mesh, "gateway", name) >= before + 3, PATIENCE_S, "three changes"
            )
        assert load.failed == [], f"of {load.sent}"


async def test_only_the_meshs_own_get_in(mesh: WholeMesh, tmp_path: Path) -> None:
    async with connect(mesh) as clients:
        await create_chains(clients)
        services = (await clients.pipelines.ListServices(pb.ListServicesRequest())).services
    (repository, runtime, _) = (service.endpoints[0].sidecar_address for service in services)
    ours, other = Authority.open(mesh.folder / "data/manager/ca"), Authority.open(tmp_path / "ca")
    as_ = {name: Identity(name, "test") for name in ("manager", "gateway", "serving-scikit")}
    listing_models, health = (
        "/hydro.runtime.v1.RuntimeService/ListModels",
        "/grpc.health.v1.Health/Check",
    )
    manager = mesh.urls["xds"]
    assert await status(runtime, listing_models, ours, as_["manager"]) == OK
    assert await status(runtime, listing_models, ours, as_["serving-scikit"]) == PERMISSION_DENIED
    assert await status(runtime, listing_models, ours, as_["gateway"]) == PERMISSION_DENIED
    assert await status(runtime, health, ours, as_["gateway"]) == OK
    assert await status(runtime, health, ours, as_["serving-scikit"]) == PERMISSION_DENIED
    assert await status(repository, health, ours, as_["serving-scikit"]) == OK
    listing = "/hydro.manager.v1.ManagerService/ListPipelines"
    assert await status(manager, listing, ours, as_["serving-scikit"]) == PERMISSION_DENIED
    for where in (runtime, repository, manager):
        # The alert is raised as it is where it comes before the connection's end.
        with pytest.raises((httpx.TransportError, ssl.SSLError)):
            await status(where, health, other, as_["gateway"])
        with pytest.raises((httpx.TransportError, ssl.SSLError)):
            await status(where, health, None, as_["gateway"])
        async with httpx.AsyncClient(http2=True, http1=False) as plain:
            with pytest.raises(httpx.TransportError):
                await plain.post(f"http://{where}{health}", content=EMPTY)


async def test_who_joins_needs_a_good_invitation(mesh: WholeMesh, tmp_path: Path) -> None:
    ours, other = Authority.open(mesh.folder / "data/manager/ca"), Authority.open(tmp_path / "ca")
    who, hour = Identity("serving-scikit", "late"), timedelta(hours=1)

    async def join(authority: Authority, service: str, life: timedelta) -> None:
        file = invite(authority, service, life, tmp_path / "invitation.json")
        async with keep_enrolled(
            file, who, [Address.parse(mesh.urls["xds"])], tmp_path / "joined"
        ) as files:
            assert stat.S_IMODE(files.secret.stat().st_mode) == 0o600

    with pytest.raises(PermissionDenied, match="has expired"):
        await join(ours, "serving-scikit", -hour)
    with pytest.raises(PermissionDenied, match="is for 'gateway'"):
        await join(ours, "gateway", hour)
    with pytest.raises(TimeoutError):  # to another mesh's manager it tells no secret
        async with asyncio.timeout(3):
            await join(other, "serving-scikit", hour)
    await join(ours, "serving-scikit", hour)
    await join(ours, "serving-scikit", -hour)  # what it has is still good


async def status(where: str, path: str, authority: Authority | None, who: Identity) -> str:
    """The gRPC status of a call with an empty message, by who shows such a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if authority:
        held = authority.issue(who, timedelta(minutes=1))
        with tempfile.NamedTemporaryFile() as file:
            file.write(held.certificate + held.key)
            file.flush()
            context.load_cert_chain(file.name)
    async with httpx.AsyncClient(http2=True, http1=False, verify=context) as client:
        headers = {"content-type": "application/grpc", "te": "trailers"}
        answer = await client.post(f"https://{where}{path}", content=EMPTY, headers=headers)
        # Where it is not here it is in the trailers, after a message.
        return str(answer.headers.get("grpc-status", OK))
