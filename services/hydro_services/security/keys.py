"""API keys and the admin key: how they are made, and what is kept of them, which is a hash.

A key has 256 random bits, so a plain SHA-256 of it tells nothing of it, and looking the hash up
needs no constant time.
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
"""Tells keys of ours from other bearer tokens, for people, scanners and Envoy."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAME_RULE = "at most 63 letters, digits, '-', '_' and '.', starting with a letter or digit"
MAX_KEYS = 10_000
MIN_ADMIN = 32
ID_LENGTH = 12
_HASH = re.compile(r"[0-9a-f]{64}")
_ADMIN = re.compile(rf"[!-~]{{{MIN_ADMIN},128}}")


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of an API key."""

    name: str
    """Of its caller, who may have several."""
    sha256: str
    created: datetime
    expires: datetime | None = None
    pipelines: tuple[str, ...] = ()
    """The only ones it is for, sorted; (): for all that take API keys."""

    @property
    def id(self) -> str:
        """The start of its hash."""
        return self.sha256[:ID_LENGTH]


def make() -> str:
    """A new key; nobody but its caller is to keep it."""
    return PREFIX + secrets.token_urlsafe(32)


def make_admin() -> str:
    """A new admin key."""
    return f"{PREFIX}admin_{secrets.token_urlsafe(32)}"


def digest(key: str) -> str:
    """SHA-256 of a key, hexadecimal."""
    return sha256(key.encode()).hexdigest()


def check_admin(key: str) -> str:
    """The admin key, if it is one that nobody guesses.

    Raises:
        InvalidArgument: it is too short, or has what no header has.
    """
    if not _ADMIN.fullmatch(key):
        raise InvalidArgument(
            f"the admin key has {len(key)} characters, want {MIN_ADMIN} to 128 of "
            "visible ASCII; make one with `hydro keys admin`"
        )
    return key


def check(key: Key) -> Key:
    """The key as it came.

    Raises:
        InvalidArgument: a name is malformed.
    """
    for what, name in (("name", key.name), *(("pipeline", each) for each in key.pipelines)):
        if not NAME.fullmatch(name):
            raise InvalidArgument(f"a key's {what} is {name[:80]!r}, want {NAME_RULE}")
    return key


def dump(keys: Iterable[Key]) -> str:
    """The file of keys: JSON, for people too."""
    return json.dumps({"keys": [record(key) for key in keys]}, indent=1) + "\n"


def load(text: str, where: str) -> tuple[Key, ...]:
    """The inverse of `dump`.

    Raises:
        InvalidArgument: it is not a file of keys; the message says where, and what is wrong.
    """
    try:
        found = tuple(from_record(each) for each in json.loads(text)["keys"])
        _check_all(found)
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
    return found


def _check_all(keys: tuple[Key, ...]) -> None:
    if len(keys) > MAX_KEYS:
        raise InvalidArgument(f"it has {len(keys)} keys, want at most {MAX_KEYS}")
    if len({key.sha256 for key in keys}) != len(keys):
        raise InvalidArgument("it has a key twice")


def record(key: Key) -> dict[str, Any]:
    """A key as JSON has it."""
    times = {"created": key.created, "expires": key.expires}
    return {
        "id": key.id,
        "name": key.name,
        "sha256": key.sha256,
        "pipelines": list(key.pipelines),
        **{name: _text(at) for name, at in times.items() if at},
    }


def from_record(record: Mapping[str, Any]) -> Key:
    """The inverse of `record`.

    Raises:
        InvalidArgument, ValueError, TypeError, KeyError, AttributeError: it is none.
    """
    unknown = record.keys() - {"id", "name", "sha256", "pipelines", "created", "expires"}
    if unknown:
        raise InvalidArgument(f"a key has {min(unknown)!r}, which no key has")
    if not _HASH.fullmatch(record["sha256"]):
        raise InvalidArgument("a key's sha256 is not 64 hexadecimal digits")
    pipelines, expires = record.get("pipelines", []), record.get("expires")
    if not isinstance(pipelines, list):
        raise InvalidArgument("a key's pipelines are no list")
    key = Key(
        record["name"],
        record["sha256"],
        _time(record["created"]),
        _time(expires) if expires else None,
        tuple(sorted(pipelines)),
    )
    return check(key)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"a time is {text!r}, want one with a zone, such as 2030-01-31T00:00:00Z")
    return found
