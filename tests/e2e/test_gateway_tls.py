"""A gateway that speaks TLS with clients: a real Envoy, and files that change."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc import aio
from meshes import HOST, gateway
from patience import PATIENCE_S
from ports import free_port
from whole_mesh import ROOT, WholeMesh, until

from hydro_envoy.address import Address
from hydro_envoy.mesh import Mesh, TimeLimits
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_envoy.proxy.find_envoy import find_envoy
from hydro_envoy.proxy.process import Envoy
from hydro_envoy.resources.builder import Builder
from hydro_envoy.xds.hub import Hub
from hydro_envoy.xds.server import add_ads
from hydro_services.cli import main as cli
from hydro_services.errors import InvalidArgument
from hydro_services.proxy import serving_tls
from hydro_services.security import certificates
from hydro_services.security.certificates import Authority, Identity, KeyPair

pytestmark = pytest.mark.e2e


@contextlib.asynccontextmanager
async def serving(
    folder: Path, certificate: Path, key: Path, times: TimeLimits | None = None
) -> AsyncIterator[int]:
    """The port of a gateway with no pipelines."""
    port, ads, hub, server = free_port(), free_port(), Hub(), aio.server()
    add_ads(server, hub)
    server.add_insecure_port(f"{HOST}:{ads}")
    await server.start()
    hub.publish(
        await asyncio.to_thread(
            Builder().build, Mesh(gateway(port), time_limits=times or TimeLimits())
        )
    )
    async with serving_tls.keep_server_secret(certificate, key, folder) as secret:
        wanted = Bootstrap("tls", "gateway", Address(HOST, ads), tls=secret)
        async with Envoy(await find_envoy(), wanted, folder, concurrency=1, drain_s=0.1) as envoy:
            await envoy.ready(timeout_s=60)
            yield port
    hub.close()
    await server.stop(0)


def write(held: KeyPair, certificate: Path, key: Path) -> None:
    certificate.write_bytes(held.certificate)
    key.write_bytes(held.key)


def shown(port: int, *protocols: str) -> tuple[str | None, bytes]:
    """The protocol that was agreed on, and the certificate, DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    with socket.create_connection((HOST, port), 10) as plain, context.wrap_socket(plain) as tls:
        return tls.selected_alpn_protocol(), tls.getpeercert(binary_form=True) or b""


def der(held: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(held.certificate.decode())


async def test_clients_speak_tls_and_a_new_certificate_needs_no_restart(tmp_path: Path) -> None:
    authority, who = Authority.open(tmp_path / "ca"), Identity("gateway", "test")
    first, second = (authority.issue(who, timedelta(hours=1)) for _ in range(2))
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    write(first, *files)
    async with serving(tmp_path / "envoy", *files) as port:
        assert shown(port, "h2", "http/1.1") == ("h2", der(first))
        assert shown(port, "http/1.1") == ("http/1.1", der(first))
        async with httpx.AsyncClient(verify=False) as client:
            answer = await client.post(f"https://{HOST}:{port}/api/v1/serve/nope", json=[])
            assert answer.status_code == 404
            with pytest.raises(httpx.TransportError):
                await client.post(f"http://{HOST}:{port}/api/v1/serve/nope", json=[])
        files[0].write_bytes(second.certificate)  # without its key it is not taken
        write(second, *files)
        await until(lambda: shown(port, "h2")[1] == der(second), PATIENCE_S, "the new certificate")


def own(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    built = built.public_key(key.public_key()).serial_number(x509.random_serial_number())
    built = built.not_valid_before(now).not_valid_after(now + timedelta(hours=1))
    signed = built.add_extension(address, critical=False).sign(key, hashes.SHA256())
    certificate = signed.public_bytes(serialization.Encoding.PEM)
    files = folder / "own.crt", folder / "own.key"
    write(KeyPair(certificate, certificates.key_to_pem(key)), *files)
    return files


async def test_hydro_predict_speaks_tls_with_whom_it_trusts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, rows = own(tmp_path), tmp_path / "rows.json"
    rows.write_text("[]")
    stranger = tmp_path / "ca/ca.pem"
    Authority.open(tmp_path / "ca")
    async with serving(tmp_path / "envoy", *files) as port:

        async def told(ca: str) -> tuple[int, str]:
            words = ("predict", "nope", str(rows), f"--gateway={HOST}:{port}", f"--tls-ca={ca}")
            code = await asyncio.to_thread(cli.main, words)
            return code, capsys.readouterr().err

        async with asyncio.timeout(PATIENCE_S):
            while (first := await told(str(files[0])))[0] == cli.UNREACHABLE:
                pass  # the listener may be a moment later than Envoy
        assert first == (cli.FAILED, "error: no such pipeline: nope\n")
        for ca in (str(stranger), "system"):
            code, text = await told(ca)
            assert code == cli.UNREACHABLE
            assert "its certificate is not trusted" in text


def test_all_that_clients_call_speaks_tls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = map(str, own(tmp_path))
    rows = tmp_path / "rows.json"
    rows.write_text("[]")
    words = ["--runtime=serving-scikit", "--tls-cert", certificate, "--tls-key", key]
    mesh = WholeMesh(tmp_path / "mesh", ROOT / "models", words)
    mesh.start()
    try:
        at = {part: str(url).removeprefix("https://") for part, url in mesh.urls.items()}
        for *command, part in (
            ("models", "list", "repository"),
            ("services", "list", "manager"),
            ("pipelines", "apply", "iris", "serving-scikit/iris", "manager"),
            ("pipelines", "list", "manager"),
            ("top", "--once", "--interval=0.2", "manager"),
            ("predict", "iris", str(rows), "gateway"),
        ):
            found = [*command, f"--{part}={at[part]}"]
            assert cli.main([*found, "--tls-ca", certificate]) == 0, capsys.readouterr().err
            assert cli.main(found) == cli.UNREACHABLE
            assert "it speaks TLS; give --tls-ca" in capsys.readouterr().err
            with pytest.raises(httpx.TransportError):
                httpx.get(f"http://{at[part]}/")
    finally:
        mesh.stop()


async def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    authority, who = Authority.open(tmp_path / "ca"), Identity("gateway", "test")
    one, two = (authority.issue(who, timedelta(hours=1)) for _ in range(2))
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    write(KeyPair(one.certificate, two.key), *files)
    with pytest.raises(InvalidArgument, match=r"cannot use .*tls.crt and .*tls.key"):
        async with serving_tls.keep_server_secret(*files, tmp_path / "envoy"):
            pass


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_that_stops_is_cut_off(tmp_path: Path, sent: bytes) -> None:
    authority, who = Authority.open(tmp_path / "ca"), Identity("gateway", "test")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    write(authority.issue(who, timedelta(hours=1)), certificate, key)
    async with serving(tmp_path, certificate, key, TimeLimits(header_s=1.0)) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        with contextlib.closing(writer):
            writer.write(sent)
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""
