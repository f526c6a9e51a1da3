"""Whom a command trusts that speaks TLS with the mesh."""

from __future__ import annotations

import argparse
import os
import ssl
from pathlib import Path

from hydro_services.reachability import Tls


def tls_ca(parser: argparse.ArgumentParser) -> None:
    """Adds --tls-ca; environment: HYDRO_TLS_CA."""
    parser.add_argument(
        "--tls-ca",
        metavar="FILE",
        type=authorities,
        default=os.environ.get("HYDRO_TLS_CA") or None,
        help="speak TLS with the mesh, and trust these certificates, PEM; `system`: those that\n"
        "this machine trusts (default: clear text; environment: HYDRO_TLS_CA)",
    )


def authorities(text: str) -> Tls:
    """Whom to trust.

    Raises:
        argparse.ArgumentTypeError: the file cannot be read, or has no certificates.
    """
    if text == "system":
        return Tls()
    try:
        found = Path(text).read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found.decode())
    except (ssl.SSLError, ValueError):
        want = "want PEM, as of the authority that signed the mesh's"
        raise argparse.ArgumentTypeError(f"{text} has no certificates; {want}") from None
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {text}: {error.strerror}") from None
    return Tls(found)
