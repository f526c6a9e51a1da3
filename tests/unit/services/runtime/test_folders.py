"""What stays in a cache, and what goes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hydro_services.runtime.folders import Folders

SIZE = 1000
LIMIT = 3 * SIZE
NAMES = [hashlib.sha256(bytes([n])).hexdigest() for n in range(6)]


def fill(folders: Folders, digest: str) -> None:
    folders.evict(SIZE)
    with folders.fill(digest) as folder:
        (folder / "file").write_bytes(bytes(SIZE))


def there(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    folders = Folders(tmp_path, LIMIT)
    for number, name in enumerate(NAMES[:3]):
        fill(folders, name)
        folders.release(name)
        os.utime(tmp_path / name, (number, number))
    assert folders.hold(NAMES[0])
    folders.release(NAMES[0])
    fill(folders, NAMES[3])
    assert there(tmp_path) == {NAMES[0], NAMES[2], NAMES[3]}


def test_what_is_held_stays_whoever_holds_it(tmp_path: Path) -> None:
    first, second = Folders(tmp_path, 0), Folders(tmp_path, 0)
    fill(first, NAMES[0])
    second.evict()
    assert second.hold(NAMES[0])
    first.release(NAMES[0])
    first.evict()
    assert there(tmp_path) == {NAMES[0]}
    second.release(NAMES[0])
    first.evict()
    assert there(tmp_path) == set()
    assert first.hold(NAMES[0]) is None


PROGRAM = """
import os, sys
from pathlib import Path
from hydro_services.runtime.folders import Folders
folders = Folders(Path(sys.argv[1]), 0)
with folders.fill(sys.argv[2]) as folder:
    (folder / "file").write_bytes(bytes(1000))
    print("filling", flush=True)
    sys.stdin.read()
"""


def test_half_filled_folders_of_dead_processes_go_and_those_of_others_stay(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), NAMES[0]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"filling\n"
        folders = Folders(tmp_path, 0)
        folders.evict()
        assert len(there(tmp_path)) == 1
        process.kill()
        process.wait()
    folders.evict()
    assert there(tmp_path) == set()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    for name in ("crashes", "running", "notes.txt"):
        (tmp_path / name).mkdir()
    (tmp_path / NAMES[0]).write_bytes(bytes(10))
    Folders(tmp_path, 0).evict()
    assert there(tmp_path) == {"crashes", "running", "notes.txt", NAMES[0]}


class Cache(RuleBasedStateMachine):
    """Two processes' worth of folders over one root."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(f"/tmp/hydro-cache-{os.getpid()}-{time.monotonic_ns()}")
        self.root.mkdir()
        self.users = [Folders(self.root, LIMIT) for _ in range(2)]
        self.held: list[tuple[int, str]] = []

    @rule(user=st.integers(0, 1), name=st.sampled_from(NAMES))
    def use(self, user: int, name: str) -> None:
        if not self.users[user].hold(name):
            fill(self.users[user], name)
        self.held.append((user, name))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        user, name = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.users[user].release(name)

    @rule(user=st.integers(0, 1))
    def evict(self, user: int) -> None:
        self.users[user].evict()
        used = {name for _, name in self.held}
        assert len(there(self.root)) <= max(LIMIT // SIZE, len(used))

    @invariant()
    def what_is_held_is_there(self) -> None:
        for _, name in self.held:
            assert (self.root / name / "file").stat().st_size == SIZE

    def teardown(self) -> None:
        for user, name in self.held:
            self.users[user].release(name)
        for folders in self.users:
            folders._max_bytes = 0
            folders.evict()
        self.root.rmdir()


TestCache = Cache.TestCase
TestCache.settings = settings(max_examples=50, deadline=None)
