"""Parts that cannot be reached: what clients are told, and how soon."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hydro.serving.v1 import frame_pb2
from hydro_envoy.address import Address
from hydro_services import client, errors
from hydro_services.cli import main as cli
from hydro_services.reachability import Tls

HOST = "127.0.0.1"
SOON_S = 15.0
Handler: TypeAlias = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]
]


def certificate(folder: Path, name: str = HOST, *, days: int = 1) -> tuple[Path, Path]:
    """One that vouches for itself, and its key; it ends in so many days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    entry: x509.GeneralName = x509.DNSName(name)
    with contextlib.suppress(ValueError):
        entry = x509.IPAddress(ipaddress.ip_address(name))
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([entry]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}{days}.crt", folder / f"{name}{days}.key"
    files[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@contextlib.asynccontextmanager
async def grpc_server(tls: tuple[Path, Path] | None = None) -> AsyncIterator[Address]:
    server = grpc.aio.server()
    if tls:
        pair = (tls[1].read_bytes(), tls[0].read_bytes())
        port = server.add_secure_port(f"{HOST}:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        yield Address(HOST, port)
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def tcp_server(handler: Handler) -> AsyncIterator[Address]:
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError):
            await handler(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield Address(HOST, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        if served:
            await asyncio.wait(served)


async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(64)
    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    writer.close()


async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.org ESMTP\r\n")
    await reader.read(64)
    writer.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass
    writer.close()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def why(address: Address, tls: Tls | None = None) -> errors.HydroError:
    start = time.monotonic()
    with pytest.raises(errors.HydroError) as raised:
        async with client.connect_channel("gateway", address, tls):
            pass
    assert time.monotonic() - start < SOON_S
    return raised.value


def is_permanent(error: errors.HydroError, *texts: str) -> bool:
    assert type(error) is errors.CannotConnect, error
    assert errors.STATUS[type(error)][0] is grpc.StatusCode.FAILED_PRECONDITION
    return all(text in error.message for text in texts)


async def test_where_nothing_listens_trying_again_may_help() -> None:
    error = await why(Address(HOST, 1))
    assert type(error) is errors.Unreachable
    assert "start it with `hydro up`, or give --gateway or HYDRO_GATEWAY" in error.message


@pytest.mark.parametrize("handler", [silent, closing])
async def test_what_does_not_answer_may_answer_later(handler: Handler) -> None:
    async with tcp_server(handler) as address:
        error = await why(address)
    assert type(error) is errors.Unreachable
    assert "does not answer" in error.message


async def test_what_speaks_something_else_is_no_gateway() -> None:
    async with tcp_server(http1) as address:
        assert is_permanent(await why(address), "speaks HTTP/1 alone", "right port")
    async with tcp_server(greeting) as address:
        assert is_permanent(await why(address), "neither gRPC nor TLS")


async def test_a_port_without_tls_says_so() -> None:
    async with grpc_server() as address:
        assert is_permanent(await why(address, Tls()), "does not speak TLS", "--tls-ca")


async def test_a_port_with_tls_says_so(tmp_path: Path) -> None:
    async with grpc_server(certificate(tmp_path)) as address:
        assert is_permanent(await why(address), "it speaks TLS; give --tls-ca")


async def test_a_certificate_that_is_not_trusted_says_why(tmp_path: Path) -> None:
    files, stranger = certificate(tmp_path), certificate(tmp_path, "other.example")
    async with grpc_server(files) as address:
        for tls in (Tls(), Tls(stranger[0].read_bytes())):
            assert is_permanent(await why(address, tls), "not trusted", "self-signed certificate")
        async with client.connect_channel("gateway", address, Tls(files[0].read_bytes())):
            pass
        async with client.connect_channel(
            "gateway", address, grpc.ssl_channel_credentials(files[0].read_bytes())
        ):
            pass


async def test_a_certificate_of_another_name_says_so(tmp_path: Path) -> None:
    files = certificate(tmp_path, "mesh.example")
    async with grpc_server(files) as address:
        error = await why(address, Tls(files[0].read_bytes()))
    assert is_permanent(error, f"its certificate is not for {HOST}")


async def test_a_certificate_that_has_ended_says_so(tmp_path: Path) -> None:
    files = certificate(tmp_path, days=-1)
    async with grpc_server(files) as address:
        assert is_permanent(await why(address, Tls(files[0].read_bytes())), "expired")


async def test_a_name_that_nobody_has_is_told() -> None:
    error = await why(Address("no-such-machine.invalid", 8083))
    assert "no-such-machine.invalid" in error.message
    assert "machine named" in error.message or "looked up" in error.message


async def test_calls_raise_typed_errors_inside_the_context() -> None:
    async def frames() -> AsyncIterator[frame_pb2.Frame]:
        yield frame_pb2.Frame(pipeline="p")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}\n"

    async with grpc_server() as address, client.connect_channel("gateway", address) as channel:
        gateway, manager = client.GatewayClient(channel), client.ManagerClient(channel)
        for call in (
            gateway.predict(frame_pb2.Frame()),
            anext(gateway.predict_stream(frames())),
            anext(aiter(gateway.serve("p", pieces(), "application/json"))),
            anext(gateway.serve_lines("p", pieces())),
            manager.list_pipelines(),
            manager.delete_pipeline("p"),
            client.RepositoryClient(channel).list_models(),
        ):
            with pytest.raises(errors.Unimplemented):
                await call


async def _bare_call(address: Address) -> None:
    async with client.connect_channel("gateway", address) as channel:
        call: Any = channel.unary_unary("/a.B/C")
        await call(b"")


async def test_bare_calls_are_typed_where_they_leave_the_context() -> None:
    async with grpc_server() as address:
        with pytest.raises(errors.Unimplemented):
            await _bare_call(address)


@pytest.mark.parametrize("command", ["predict p /dev/null", "pipelines list", "top --once"])
async def test_commands_tell_permanent_errors_as_such(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = "--gateway" if command.startswith("predict") else "--manager"
    async with grpc_server(certificate(tmp_path)) as address:
        words = [*command.split(), flag, str(address), "--json"]
        assert await asyncio.to_thread(cli.main, words) == cli.UNREACHABLE
    out, err = capsys.readouterr()
    assert out == ""
    told = json.loads(err)
    assert (told["status"], told["reason"]) == ("FAILED_PRECONDITION", "CANNOT_CONNECT")
    assert "it speaks TLS" in told["message"]
    assert told["details"][0]["metadata"] == {"address": str(address)}
