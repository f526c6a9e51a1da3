from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_envoy.address import Address, parse_host
from hydro_envoy.policy import ApiKey
from hydro_services.cli import main as cli
from hydro_services.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from hydro_services.manager.engine import api_key_watcher
from hydro_services.security import admin, keyfile, keys
from hydro_services.security.keys import Key

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
NAMES = st.from_regex(keys.NAME, fullmatch=True)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
KEYS = st.builds(
    Key,
    NAMES,
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    TIMES,
    st.none() | TIMES,
    st.lists(NAMES, unique=True, max_size=3).map(sorted).map(tuple),
)


def key(name: str = "acme", text: str = "a", **more: Any) -> Key:
    return Key(name, keys.hash_key(text), NOW, **more)


def test_keys_differ_and_are_long_and_their_hash_is_sha256() -> None:
    made = {keys.make_key() for _ in range(100)}
    assert len(made) == 100
    assert {len(each) for each in made} == {49}, "a single block of SHA-256"
    secret = made.pop()
    assert keys.hash_key(secret) == hashlib.sha256(secret.encode()).hexdigest()
    assert keys.check_admin_key(keys.make_admin_key())


@given(st.lists(KEYS, unique_by=lambda each: each.sha256, max_size=4))
def test_a_file_of_keys_is_read_as_it_was_written(wanted: list[Key]) -> None:
    assert keys.load_keys(keys.dump_keys(wanted), "here") == tuple(wanted)


RECORD = keys.to_record(key())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param("", "Expecting value", id="empty"),
        pytest.param("[]", "list indices", id="a list"),
        pytest.param("{}", "no 'keys'", id="nothing"),
        pytest.param({"keys": [1]}, "", id="a number"),
        pytest.param({"keys": [RECORD | {"sha256": "ab"}]}, "64 hexadecimal", id="hash"),
        pytest.param({"keys": [RECORD | {"sha256": "A" * 64}]}, "64 hexadecimal", id="capitals"),
        pytest.param({"keys": [RECORD | {"name": "a b"}]}, "'a b', want at most 63", id="name"),
        pytest.param({"keys": [RECORD | {"name": "a\n]]"}]}, "want at most 63", id="escape"),
        pytest.param({"keys": [RECORD | {"pipelines": ["a,b"]}]}, "'a,b'", id="pipeline"),
        pytest.param({"keys": [RECORD | {"pipelines": "ab"}]}, "not a list", id="one pipeline"),
        pytest.param({"keys": [RECORD | {"name": 1}]}, "", id="name of another type"),
        pytest.param({"keys": [RECORD | {"expires": "soon"}]}, "Invalid isoformat", id="time"),
        pytest.param({"keys": [RECORD | {"expires": "2030-01-01"}]}, "with a zone", id="no zone"),
        pytest.param(
            {"keys": [RECORD | {"expire": "x"}]}, "'expire', which is not a", id="misspelt"
        ),
        pytest.param({"keys": [RECORD, RECORD]}, "a key twice", id="twice"),
        pytest.param({"keys": [{"name": "a"}]}, "no 'sha256'", id="without hash"),
    ],
)
def test_what_is_no_file_of_keys_is_refused_with_the_reason(content: Any, why: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(InvalidArgument, match="is not a file of API keys") as raised:
        keys.load_keys(text, "here")
    assert why in raised.value.message


def test_keys_reach_envoy_by_hash_with_their_ends() -> None:
    found = api_key_watcher.mesh_api_keys(
        [key("b", "2", pipelines=("p",)), key("a", "1", expires=NOW)]
    )
    assert set(found) == {
        ApiKey(keys.hash_key("1"), "a", (), int(NOW.timestamp())),
        ApiKey(keys.hash_key("2"), "b", ("p",), 0),
    }


# ---- the file


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keyfile.change_keys(path, lambda present: (*present, key()))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["keys.json"]
    path.chmod(0o644)
    keyfile.change_keys(path, lambda present: (*present, key("b", "b")))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_changes_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    def add(number: int) -> None:
        keyfile.change_keys(path, lambda present: (*present, key(f"k{number}", str(number))))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert len(keyfile.read_keys(path)) == 24


def test_a_change_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    keyfile.change_keys(path, lambda present: (key(),))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        keyfile.change_keys(path, lambda present: ())
    monkeypatch.undo()
    assert keyfile.read_keys(path) == (key(),)
    assert os.listdir(tmp_path) == ["keys.json"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    link, target = tmp_path / "keys.json", tmp_path / "data" / "real.json"
    link.symlink_to(target)
    keyfile.change_keys(link, lambda present: (key(),))
    assert link.is_symlink()
    assert keyfile.read_keys(target) == (key(),)


async def test_a_watched_file_tells_its_changes_and_survives_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(NotFound, match="make it with `hydro keys create NAME --keys"):
        await anext(keyfile.watch_keys(path))
    keyfile.change_keys(path, lambda present: (key(),))
    changes = keyfile.watch_keys(path)
    assert await anext(changes) == (key(),)
    async with asyncio.timeout(20):
        following = asyncio.ensure_future(anext(changes))
        path.write_text("nonsense")
        await asyncio.wait([following], timeout=3 * keyfile.POLL_S)
        assert not following.done(), "the last keys stay"
        path.unlink()
        keyfile.change_keys(path, lambda present: (key("b", "b"),))
        assert await following == (key("b", "b"),)
    await changes.aclose()


# ---- the admin key


@pytest.mark.parametrize(
    ("host", "is_ours_alone"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("[::]", False),
        ("10.0.0.5", False),
        ("192.168.1.1", False),
        ("[::ffff:10.0.0.5]", False),
        ("mesh.example", False),
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_what_others_reach_needs_an_admin_key(host: str, is_ours_alone: bool) -> None:
    exposed = Address(parse_host(host) if host else "", 8080)
    addresses = [Address("127.0.0.1", 1), exposed]
    admin.check_addresses(addresses, "key")
    if is_ours_alone:
        return admin.check_addresses(addresses, "")
    with pytest.raises(FailedPrecondition, match="hydro keys admin") as raised:
        admin.check_addresses(addresses, "")
    assert raised.value.message.startswith(f"{exposed} can be reached")
    return None


@pytest.mark.parametrize("text", ["", "short", "x" * 31, "x" * 129, "x" * 40 + " ", "ü" * 40])
def test_an_admin_key_that_could_be_guessed_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidArgument, match="want 32 to 128") as raised:
        keys.check_admin_key(text)
    assert not text or text not in raised.value.message


@pytest.mark.parametrize(
    ("metadata", "has_it"),
    [
        ([("authorization", "Bearer secret")], True),
        ([("authorization", "bearer secret")], True),
        ([("authorization", "Bearer secret ")], False),
        ([("authorization", "Bearer secret"), ("authorization", "Bearer secret")], False),
        ([("authorization", "Basic secret")], False),
        ([("authorization", "secret")], False),
        ([("authorization", "Bearer other"), ("x", b"\0")], False),
        ([], False),
    ],
)
def test_a_call_shows_the_admin_key(metadata: list[tuple[str, str | bytes]], has_it: bool) -> None:
    if has_it:
        return admin.check_call(metadata, keys.hash_key("secret"))
    with pytest.raises(Unauthenticated, match="want the mesh's admin key"):
        admin.check_call(metadata, keys.hash_key("secret"))
    return None


# ---- hydro keys


def run(*words: str) -> int:
    return cli.main(["keys", *words])


def test_a_key_is_shown_once_and_kept_as_a_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "keys.json")
    start = datetime.now(UTC).replace(microsecond=0)
    words = ("create", "acme", "--pipelines", "b,a", "--expires", "90d", "--keys", file, "--json")
    assert run(*words) == 0
    created = json.loads(capsys.readouterr().out)
    secret = created.pop("key")
    (kept,) = keyfile.read_keys(Path(file))
    assert (kept.name, kept.pipelines) == ("acme", ("a", "b"))
    assert kept.sha256 == keys.hash_key(secret)
    assert kept.created >= start
    assert kept.expires == kept.created + timedelta(days=90)
    assert secret not in Path(file).read_text()
    assert run("list", "--keys", file, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [created]
    assert run("create", "acme", "--keys", file) == 0
    shown = capsys.readouterr()
    assert keys.hash_key(shown.out.strip()) == keyfile.read_keys(Path(file))[1].sha256
    assert "not shown again" in shown.err


def test_revoking_takes_a_key_or_all_of_a_caller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.json"
    all_keys = (key("a", "1"), key("a", "2"), key("b", "3"), key("b", "4", expires=NOW))
    keyfile.change_keys(path, lambda _: all_keys)
    assert run("revoke", all_keys[2].id, "--keys", str(path)) == 0
    assert run("revoke", "a", "--keys", str(path), "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"revoked": [all_keys[0].id, all_keys[1].id]}
    assert keyfile.read_keys(path) == (all_keys[3],)
    assert run("revoke", "a", "--keys", str(path)) == 1
    assert "no key has the id or name 'a'; see `hydro keys list" in capsys.readouterr().err
    assert run("list", "--keys", str(path)) == 0
    assert "2030-01-31 12:00" in capsys.readouterr().out


@pytest.mark.parametrize("expires", ["", "90", "0d", "1w", "9999999d"])
def test_a_time_that_is_none_is_refused(expires: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create", "a", "--expires", expires) == 2
    assert "want a time such as 30m, 12h or 90d" in capsys.readouterr().err


def test_a_mesh_that_others_reach_does_not_start_without_an_admin_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, own_logging: None
) -> None:
    models = str(tmp_path)
    words = ["--models", models, "--data", str(tmp_path / "data"), "--host", "0.0.0.0"]
    assert cli.main(["up", *words]) == 1
    assert "0.0.0.0:8080, 0.0.0.0:8087 can be reached" in capsys.readouterr().err
    data = ["--data", str(tmp_path / "manager")]
    assert cli.main(["manager", *data, "--xds", "10.0.0.5:8082"]) == 1
    assert cli.main(["manager", *data, "--manager", "0.0.0.0:8080"]) == 1
    assert cli.main(["up", "--models", models, "--access", "keys"]) == 1
    assert "--access keys needs --keys FILE" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
