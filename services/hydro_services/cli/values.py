"""Values of options from their texts. Each raises ValueError with what it got and what it wants."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hydro_envoy.address import Address

if TYPE_CHECKING:
    from hydro_services.consul.registry import Registry
    from hydro_services.reachability import Tls
    from hydro_services.repository.roots import Root

YEAR_S = 31_536_000


def addresses(text: str) -> tuple[Address, ...]:
    """One address or more, separated by commas."""
    return tuple(map(Address.parse, text.split(",")))


def registry(text: str) -> Registry:
    """`consul://HOST:PORT,...`."""
    from hydro_services.consul.registry import Registry
    from hydro_services.errors import InvalidArgument  # imports gRPC, which help does not need

    try:
        return Registry.parse(text)
    except InvalidArgument as error:
        raise ValueError(error.message) from None


def roots(text: str) -> tuple[Root, ...]:
    """Folders and stores of models."""
    from hydro_services.repository.roots import parse_roots

    return parse_roots(text)


def port_number(text: str) -> int:
    """0 for any free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(f"got port {text!r}, want a number from 0 to 65535")
    return int(text)


def seconds(text: str) -> float:
    """From 1 s to a year."""
    with contextlib.suppress(ValueError):
        if 1 <= float(text) <= YEAR_S:
            return float(text)
    raise ValueError(f"got {text!r}, want seconds, from 1 to a year")


def percentage(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 100:
            return float(text)
    raise ValueError(f"got {text!r}, want a number from 0 to 100")


def byte_count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"got {text!r}, want a number of bytes")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Separated by commas."""
    return tuple(filter(None, text.split(",")))


def log_file(text: str) -> str:
    """An absolute path; `-` for standard output, empty for none."""
    return text if text in ("", "-") else os.path.abspath(text)


def key(text: str) -> str:
    """A key, without the white space around it."""
    stripped = text.strip()
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ValueError("this is not a key, want one line of visible ASCII")
    return stripped


def key_in_file(path: str) -> str:
    """A key from a file: on a command line every user of the machine could see it."""
    from hydro_services.security.private_files import warn_if_readable  # imports gRPC

    try:
        text = Path(path).read_text()
        warn_if_readable(Path(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"cannot read {path}: {reason.lower()}") from None
    try:
        return key(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def authorities(text: str) -> Tls:
    """Whose certificates to trust: a file of them in PEM, or `system`."""
    import ssl

    from hydro_services.reachability import Tls  # imports gRPC

    if text == "system":
        return Tls()
    try:
        pem = Path(text).read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode())
    except (ssl.SSLError, ValueError):
        want = "want PEM, as of the authority that signed the mesh's certificate"
        raise ValueError(f"{text} has no certificates; {want}") from None
    except OSError as error:
        raise ValueError(f"cannot read {text}: {error.strerror}") from None
    return Tls(pem)
