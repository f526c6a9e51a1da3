"""The admin key: where it is needed, and whether a call has it. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from hydro_envoy.address import Address
from hydro_services.errors import FailedPrecondition, Unauthenticated
from hydro_services.security import keys

HEADER, SCHEME = "authorization", "bearer"


def check_addresses(addresses: Iterable[Address], admin_key: str) -> None:
    """Refuses to offer what changes the mesh to other machines without an admin key.

    Args:
        addresses: where the APIs of manager and repository are offered.
        admin_key: empty for none.

    Raises:
        FailedPrecondition: one is not of this machine alone, and there is no key.
    """
    exposed = [str(address) for address in addresses if not address.is_loopback]
    if exposed and not admin_key:
        raise FailedPrecondition(
            f"{', '.join(exposed)} can be reached from other machines, which could change the mesh "
            "without an admin key; make one with `hydro keys admin > admin.key` and give it with "
            "--admin-key-file admin.key or HYDRO_ADMIN_KEY, or listen at 127.0.0.1"
        )


def check_call(metadata: Iterable[tuple[str, str | bytes]], key_sha256: str) -> None:
    """Refuses a call that does not have the admin key of this hash.

    Raises:
        Unauthenticated: it has no key, or another one.
    """
    sent = [str(value) for name, value in metadata if name == HEADER]
    scheme, _, key = (sent[0] if len(sent) == 1 else "").partition(" ")
    if scheme.lower() != SCHEME or not hmac.compare_digest(keys.hash_key(key), key_sha256):
        raise Unauthenticated("want the mesh's admin key in the header authorization: Bearer")
