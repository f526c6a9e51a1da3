"""What Envoys and processes show each other on one machine: the token of the mesh's owner. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from hydro_envoy.headers import MESH_TOKEN

WANTED = (
    f"want the mesh's token in {MESH_TOKEN}; it is in the file `token` of the manager's data "
    "folder, which only the owner can read: start this part as the same user, and name the file by "
    "--token-file or HYDRO_TOKEN_FILE"
)


def traffic_token(token: str) -> str:
    """What Envoys show with rows and models' calls: who has it cannot make the token of it."""
    return hmac.digest(token.encode(), b"traffic", hashlib.sha256).hex() if token else ""


def has_token(metadata: Iterable[tuple[str, str | bytes]], token: str) -> bool:
    """Whether a call's metadata has the token."""
    shown = str(dict(metadata).get(MESH_TOKEN, ""))
    return hmac.compare_digest(shown.encode(), token.encode())
