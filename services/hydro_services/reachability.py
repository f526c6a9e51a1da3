"""Why no connection comes about: gRPC alone says UNAVAILABLE, whatever it was.

Looks for itself, once a call could not be made: at the name, the port, the certificate, and at what
is spoken there. What trying again may heal is `Unreachable`, all else `CannotConnect`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field

import grpc

from hydro_envoy.address import Address
from hydro_services import errors

LOOK_S = 2.0
"""How long each step of a look may take."""
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""HTTP/2's, with an empty SETTINGS frame."""
_SETTINGS_AT, _SETTINGS = 3, 4
_TLS_ALERT, _TLS_HANDSHAKE = 0x15, 0x16
_HOSTNAME, _IP_ADDRESS = 62, 64
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""


@dataclass(frozen=True, slots=True)
class Tls:
    """To speak TLS, and whom to trust."""

    authorities: bytes | None = field(default=None, repr=False)
    """Certificates, PEM; None: those that this machine trusts."""

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        """As gRPC wants it."""
        return grpc.ssl_channel_credentials(self.authorities)

    @property
    def context(self) -> ssl.SSLContext:
        """As Python wants it."""
        pem = self.authorities
        context = ssl.create_default_context(cadata=pem.decode() if pem else None)
        context.set_alpn_protocols(["h2"])
        return context


async def explain_unreachable(
    part: str, address: Address, tls: Tls | grpc.ChannelCredentials | None
) -> errors.HydroError:
    """Why the part cannot be reached at an address.

    Args:
        part: whom to expect there, such as "manager"; for the message.
        address: where.
        tls: whom to trust there; None: clear text.
    """
    try:
        await _probe(address, tls)
    except _WrongPeer as wrong:
        return errors.CannotConnect(f"no {part} at {address}: {wrong}", address=str(address))
    except _NothingThere as away:
        return unreachable_error(part, address, str(away))
    return unreachable_error(part, address, "something is there, but does not answer")


def unreachable_error(part: str, address: Address, why: str = "") -> errors.Unreachable:
    """The error for a part that does not answer, now."""
    way_out = f"start it with `hydro up`, or give --{part} or HYDRO_{part.upper()}"
    what = f"no {part} answers at {address}{why and f': {why}'}"
    return errors.Unreachable(f"{what}; {way_out}", address=str(address))


class _WrongPeer(Exception):
    """What is there is not what was asked for."""


class _NothingThere(Exception):
    """Nothing is there, now."""


async def _probe(address: Address, tls: Tls | grpc.ChannelCredentials | None) -> None:
    """Raises what is wrong."""
    await _resolve(address)
    if isinstance(tls, Tls):
        start = await _read_greeting(address, tls.context)
    elif tls is not None:
        start = await _read_greeting(address, _trusting_context())
    else:
        start = await _read_greeting(address, None)
        if not _is_http2(start) and await _speaks_tls(address, start):
            raise _WrongPeer("it speaks TLS; give --tls-ca")
    if start.startswith(b"HTTP/1"):
        raise _WrongPeer("it speaks HTTP/1 alone, want gRPC over HTTP/2; is it the right port?")
    if start and not _is_http2(start):
        raise _WrongPeer("it speaks neither gRPC nor TLS; is it the right port?")


async def _resolve(address: Address) -> None:
    if address.ip is not None:
        return
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOK_S):
            await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise _NothingThere(f"the name {address.host!r} could not be looked up in time") from None
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise _NothingThere(f"the name {address.host!r} cannot be looked up now") from None
        raise _WrongPeer(f"there is no machine named {address.host!r}") from None


async def _read_greeting(address: Address, context: ssl.SSLContext | None) -> bytes:
    """What comes back for the start of HTTP/2; empty where nothing does."""
    reader, writer = await _connect(address, context)
    try:
        writer.write(_PREFACE)
        async with asyncio.timeout(LOOK_S):
            return await reader.read(64)
    except (TimeoutError, OSError):
        return b""
    finally:
        writer.transport.abort()


async def _connect(
    address: Address, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(LOOK_S):
            return await asyncio.open_connection(
                address.host,
                address.port,
                ssl=context,
                server_hostname=address.host if context else None,
            )
    except ssl.SSLCertVerificationError as error:
        raise _WrongPeer(_describe_mistrust(address, error)) from None
    except ssl.SSLError:
        raise _WrongPeer("it does not speak TLS; leave --tls-ca out") from None
    except ConnectionRefusedError:
        raise _NothingThere from None
    except TimeoutError:
        raise _NothingThere(f"no connection within {LOOK_S:g} s") from None
    except OSError as error:
        text = (error.strerror or str(error) or type(error).__name__).lower()
        raise _NothingThere(text) from None


def _describe_mistrust(address: Address, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (_HOSTNAME, _IP_ADDRESS):
        return f"its certificate is not for {address.host}; use the name that it is for"
    why = error.verify_message or "not signed by whom --tls-ca names"
    return f"its certificate is not trusted ({why}); give --tls-ca the authority that signed it"


def _trusting_context() -> ssl.SSLContext:
    """Trusts all: nothing is told to whom is looked at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


async def _speaks_tls(address: Address, start: bytes) -> bool:
    if start:
        return start[0] in (_TLS_ALERT, _TLS_HANDSHAKE)
    with contextlib.suppress(_WrongPeer, _NothingThere):
        _, writer = await _connect(address, _trusting_context())
        writer.transport.abort()
        return True
    return False


def _is_http2(start: bytes) -> bool:
    return len(start) > _SETTINGS_AT and start[_SETTINGS_AT] == _SETTINGS
