"""`hydro keys`: who may call pipelines, and the admin key."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hydro_services.cli import values
from hydro_services.cli.command import Command, Option
from hydro_services.cli.output import Output
from hydro_services.errors import NotFound
from hydro_services.security import keys, keystore
from hydro_services.security.keys import Key

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([1-9]\d{0,5})([mhd])")


@dataclass(frozen=True, slots=True)
class KeysOptions:
    keys: str
    json: bool


@dataclass(frozen=True, slots=True)
class CreateOptions(KeysOptions):
    name: str
    pipelines: tuple[str, ...]
    expires: timedelta | None


@dataclass(frozen=True, slots=True)
class RevokeOptions(KeysOptions):
    which: str
    """The id of a key, or the name of its caller."""


@dataclass(frozen=True, slots=True)
class AdminOptions:
    json: bool


def create_key(options: CreateOptions, output: Output) -> int:
    secret, now = keys.make_key(), datetime.now(UTC).replace(microsecond=0)
    expires = now + options.expires if options.expires else None
    pipelines = tuple(sorted(set(options.pipelines)))
    key = keys.check_key(Key(options.name, keys.hash_key(secret), now, expires, pipelines))
    asyncio.run(keystore.change_keys(options.keys, lambda present: (*present, key)))
    if output.json:
        output.value({**_public_record(key), "key": secret})
        return 0
    output.note(f"the key {key.id} of {key.name}, which is not kept and not shown again:")
    output.data(f"{secret}\n")
    return 0


def list_keys(options: KeysOptions, output: Output) -> int:
    present = asyncio.run(keystore.read_keys(options.keys))
    if output.json:
        output.value([_public_record(key) for key in present])
        return 0
    now = datetime.now(UTC)
    output.table(("id", "name", "pipelines", "created", "expires"), (_row(k, now) for k in present))
    return 0


def _row(key: Key, now: datetime) -> tuple[str, ...]:
    pipelines = ",".join(key.pipelines) or "all"
    expires = f"{key.expires:%Y-%m-%d %H:%M}" if key.expires else "never"
    ended = " (expired)" if key.expires and key.expires <= now else ""
    return key.id, key.name, pipelines, f"{key.created:%Y-%m-%d %H:%M}", expires + ended


def _public_record(key: Key) -> dict[str, object]:
    return {name: value for name, value in keys.to_record(key).items() if name != "sha256"}


def revoke_keys(options: RevokeOptions, output: Output) -> int:
    revoked: list[Key] = []

    def without(present: tuple[Key, ...]) -> tuple[Key, ...]:
        revoked.extend(key for key in present if options.which in (key.id, key.name))
        if not revoked:
            way_out = f"see `hydro keys list --keys {options.keys}`"
            raise NotFound(f"no key has the id or name {options.which[:80]!r}; {way_out}")
        return tuple(key for key in present if key not in revoked)

    asyncio.run(keystore.change_keys(options.keys, without))
    if output.json:
        output.value({"revoked": [key.id for key in revoked]})
    else:
        ids = ", ".join(f"{key.id} of {key.name}" for key in revoked)
        output.note(f"revoked {ids}; open streams continue")
    return 0


def write_admin_key(options: AdminOptions, output: Output) -> int:
    secret = keys.make_admin_key()
    if output.json:
        output.value({"key": secret})
    else:
        output.data(f"{secret}\n")
    return 0


def parse_duration(text: str) -> timedelta:
    """For example 30m, 12h or 90d."""
    parts = _DURATION.fullmatch(text)
    if not parts:
        raise ValueError(f"got {text!r}, want a time such as 30m, 12h or 90d")
    return timedelta(**{_UNITS[parts[2]]: int(parts[1])})


_KEYS = Option(
    "--keys",
    "where API keys are kept: a file, or consul://HOST:PORT,...",
    metavar="FILE",
    default="keys.json",
)
COMMANDS = (
    Command(
        "keys create",
        "make an API key for a caller, and show it once",
        (
            "hydro keys create acme --expires 90d",
            "hydro keys create acme --pipelines endpointML,iris --keys /etc/hydro/keys.json",
            "hydro keys create acme --keys consul://127.0.0.1:8500",
        ),
        (
            Option("NAME", "the caller's name; a caller may have several keys"),
            Option(
                "--pipelines",
                "the only pipelines that it is for",
                values.names,
                "NAME,...",
                default=(),
                shown_default="all",
                variable="",
            ),
            Option(
                "--expires",
                "after which time the key ends, such as 12h or 90d",
                parse_duration,
                "TIME",
                shown_default="never",
                variable="",
            ),
            _KEYS,
        ),
        CreateOptions,
        create_key,
        "The file gets only the SHA-256 of the key. A mesh that was started with `--keys FILE`\n"
        "takes the key a moment later; callers send it in the header x-api-key.",
    ),
    Command(
        "keys list",
        "list API keys and whose they are",
        ("hydro keys list", "hydro keys list --json --keys /etc/hydro/keys.json"),
        (_KEYS,),
        KeysOptions,
        list_keys,
    ),
    Command(
        "keys revoke",
        "revoke API keys; open streams continue",
        ("hydro keys revoke 3f0c1d2e4b5a", "hydro keys revoke acme"),
        (Option("ID|NAME", "a key, or all keys of a caller", field="which"), _KEYS),
        RevokeOptions,
        revoke_keys,
    ),
    Command(
        "keys admin",
        "make an admin key, and write it to standard output",
        (
            "(umask 077; hydro keys admin > admin.key)",
            "hydro up --host 0.0.0.0 --admin-key-file admin.key",
            "HYDRO_ADMIN_KEY=$(cat admin.key) hydro pipelines list --manager 10.0.0.5:8080",
        ),
        (),
        AdminOptions,
        write_admin_key,
        "Who has it may change the mesh. A mesh that other machines can reach needs one.",
    ),
)
