"""API keys and the admin key: how they are made, and what is stored of them, which is a hash.

A key has 256 random bits, so that its SHA-256 reveals nothing of it, and a hash can be looked up
without comparing in constant time.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from hydro_services.errors import InvalidArgument

PREFIX = "hydro_"
"""Tells our keys from other bearer tokens: for people, scanners of secrets and Envoy."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAME_RULE = "at most 63 letters, digits, '-', '_' and '.', starting with a letter or digit"
MAX_KEYS = 10_000
MIN_ADMIN = 32
ID_LENGTH = 12
_HASH = re.compile(r"[0-9a-f]{64}")
_ADMIN = re.compile(rf"[!-~]{{{MIN_ADMIN},128}}")


@dataclass(frozen=True, slots=True)
class Key:
    """What is stored of an API key."""

    name: str
    """The name of its caller, who may have several keys."""
    sha256: str
    created: datetime
    expires: datetime | None = None
    pipelines: tuple[str, ...] = ()
    """The pipelines that it is for, sorted; (): all that take API keys."""

    @property
    def id(self) -> str:
        """The start of its hash."""
        return self.sha256[:ID_LENGTH]


def make_key() -> str:
    """A new key, to be given to its caller and not stored."""
    return PREFIX + secrets.token_urlsafe(32)


def make_admin_key() -> str:
    """A new admin key."""
    return f"{PREFIX}admin_{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> str:
    """SHA-256 of a key, hexadecimal."""
    return sha256(key.encode()).hexdigest()


def check_admin_key(key: str) -> str:
    """The admin key, if it is too long to be guessed.

    Raises:
        InvalidArgument: it is too short, or has characters that a header cannot have.
    """
    if not _ADMIN.fullmatch(key):
        raise InvalidArgument(
            f"the admin key has {len(key)} characters, want {MIN_ADMIN} to 128 of "
            "visible ASCII; make one with `hydro keys admin`"
        )
    return key


def check_key(key: Key) -> Key:
    """Returns the key if its names are well-formed.

    Raises:
        InvalidArgument: one is not.
    """
    for what, name in (("name", key.name), *(("pipeline", name) for name in key.pipelines)):
        if not NAME.fullmatch(name):
            raise InvalidArgument(f"a key's {what} is {name[:80]!r}, want {NAME_RULE}")
    return key


def dump_keys(keys: Iterable[Key]) -> str:
    """The content of a file of keys: JSON that people can read."""
    return json.dumps({"keys": [to_record(key) for key in keys]}, indent=1) + "\n"


def load_keys(text: str, where: str) -> tuple[Key, ...]:
    """The inverse of `dump_keys`.

    Raises:
        InvalidArgument: it is not a file of keys; the message says where, and what is wrong.
    """
    try:
        keys = tuple(from_record(record) for record in json.loads(text)["keys"])
        _check_unique(keys)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        InvalidArgument,
    ) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        way_out = "want what `hydro keys create` writes"
        raise InvalidArgument(f"{where} is not a file of API keys: {why}; {way_out}") from None
    return keys


def _check_unique(keys: tuple[Key, ...]) -> None:
    if len(keys) > MAX_KEYS:
        raise InvalidArgument(f"it has {len(keys)} keys, want at most {MAX_KEYS}")
    if len({key.sha256 for key in keys}) != len(keys):
        raise InvalidArgument("it has a key twice")


def to_record(key: Key) -> dict[str, Any]:
    """A key as an object of JSON."""
    times = {"created": key.created, "expires": key.expires}
    return {
        "id": key.id,
        "name": key.name,
        "sha256": key.sha256,
        "pipelines": list(key.pipelines),
        **{name: _format_time(at) for name, at in times.items() if at},
    }


def from_record(record: Mapping[str, Any]) -> Key:
    """The inverse of `record`.

    Raises:
        InvalidArgument, ValueError, TypeError, KeyError, AttributeError: it is not one.
    """
    unknown = record.keys() - {"id", "name", "sha256", "pipelines", "created", "expires"}
    if unknown:
        raise InvalidArgument(f"a key has {min(unknown)!r}, which is not a field of keys")
    if not _HASH.fullmatch(record["sha256"]):
        raise InvalidArgument("a key's sha256 is not 64 hexadecimal digits")
    pipelines, expires = record.get("pipelines", []), record.get("expires")
    if not isinstance(pipelines, list):
        raise InvalidArgument("a key's pipelines are not a list")
    key = Key(
        record["name"],
        record["sha256"],
        _parse_time(record["created"]),
        _parse_time(expires) if expires else None,
        tuple(sorted(pipelines)),
    )
    return check_key(key)


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"a time is {text!r}, want one with a zone, such as 2030-01-31T00:00:00Z")
    return time
