"""Writes invitations: what lets a part on another machine join a mesh with TLS."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from hydro_services.security.certificates import Authority, Identity
from hydro_services.security.private_files import write_private


def invite(authority: Authority, service: str, validity: timedelta, file: Path) -> Path:
    """Writes a file, for its owner's eyes alone, that holds for any instance of the service.

    Raises:
        InvalidArgument: no service has such a name.
    """
    Identity.parse(f"{service}/any")
    content = {"ca": authority.certificate.decode(), "service": service}
    content["invitation"] = authority.invite(service, validity)
    write_private(file, json.dumps(content, indent=1).encode())
    return file
