"""Where somebody listens or is reached. No other module parses or writes an address.

Options, messages and files are parsed where they are read; behind that an address is an `Address`.
Pure but for `Address.resolved`, which may ask the system what a name means.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple, TypeAlias

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?!\d+\.?$){_LABEL}\.?")
"""Of a machine. The last label is not a number: else `10.0.0.256` would be a name."""
_SCOPE = re.compile(r"[A-Za-z0-9._-]+")
_PORT = re.compile(r"[0-9]{1,5}")
MAX_NAME = 253


class Address(NamedTuple):
    """A host and a TCP port."""

    host: str
    """An IP address as `ipaddress` writes it, without brackets; or a name."""
    port: int

    def __str__(self) -> str:
        """host:port, with brackets around IPv6; what `parse` takes."""
        return f"{bracketed(self.host)}:{self.port}"

    @classmethod
    def parse(cls, text: str, default_port: int | None = None) -> Address:
        """The inverse of `str`; where the port may be left out, it has a default.

        Raises:
            ValueError: it is malformed; the message has it, and what is wanted.
        """
        host, colon, port = text.rpartition(":")
        if default_port is not None and (not colon or port.endswith("]")):
            return cls(parse_host(text), default_port)
        is_bare = ":" in host and not host.startswith("[")
        if not host or is_bare or not _PORT.fullmatch(port) or int(port) > 65535:
            want = "want host:port, for example 10.0.0.5:8080, or [::1]:8080 for IPv6"
            raise ValueError(f"got {text[:80]!r}, {want}")
        return cls(parse_host(host), int(port))

    @property
    def ip(self) -> IP | None:
        """None for a name."""
        return _ip(self.host)

    @property
    def is_loopback(self) -> bool:
        """Only this machine reaches it; a name may mean anything, `localhost` excepted."""
        return is_loopback(self.host)

    @property
    def reachable(self) -> Address:
        """Where this machine reaches what listens at any address, 0.0.0.0 or ::; else itself."""
        if self.ip is None or not self.ip.is_unspecified:
            return self
        return Address("127.0.0.1" if self.ip.version == 4 else "::1", self.port)

    def resolved(self) -> Address:
        """With an IP address, to listen at; IPv4 where a name has both.

        Raises:
            ValueError: the name is not known.
        """
        if self.ip:
            return self
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ValueError(f"the address of {self.host!r} is not known: {reason}") from None
        hosts = sorted(found, key=lambda each: each[0] != socket.AF_INET)
        return Address(parse_host(str(hosts[0][4][0])), self.port)


ANY_PORT = Address("127.0.0.1", 0)
"""To listen at a free port, which only this machine reaches."""


def parse_host(text: str) -> str:
    """A host alone, with or without brackets; as `Address.host`.

    Raises:
        ValueError: it is malformed; the message has it, and what is wanted.
    """
    is_bracketed = text.startswith("[") and text.endswith("]")
    inner = text[1:-1] if is_bracketed else text
    ip = _ip(inner)
    if ip and (ip.version == 6 or not is_bracketed):
        return str(ip)
    if is_bracketed or len(text) > MAX_NAME or not _NAME.fullmatch(text):
        raise ValueError(f"got host {text[:80]!r}, want an IP address or a name")
    return text


def bracketed(host: str) -> str:
    """As before a colon and a port, and in URLs."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """See `Address.is_loopback`."""
    ip = _ip(host)
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    return ip.is_loopback if ip else host.lower().removesuffix(".") == "localhost"


def _ip(host: str) -> IP | None:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    scope = getattr(ip, "scope_id", None)
    return ip if scope is None or _SCOPE.fullmatch(scope) else None
