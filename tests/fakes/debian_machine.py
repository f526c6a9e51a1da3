"""A Debian of its own, booted with systemd in namespaces: own processes, own network, own files."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from patience import PATIENCE_S
from whole_mesh import ROOT, wait_until

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
POWER_OFF = signal.SIGRTMIN + 4
"""What systemd takes as "power off"."""


class DebianMachine:
    """Runs commands in the machine, and the host's commands in the machine's network."""

    def __init__(self, root: Path, systemd: int) -> None:
        self.root = root
        """Its file system, as seen from here."""
        self._systemd = systemd

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command inside."""
        inside = ("--root", "--wdns=/", "-m", "-u", "-i", "-n", "-p")
        return self._enter(inside, ("env", "-i", f"PATH={PATH}", *command), check)

    def curl(self, *arguments: str) -> str:
        """Runs the host's curl in the machine's network; what it got."""
        command = ("curl", "--silent", "--show-error", "--max-time", "60", *arguments)
        return self._enter(("-n",), command, check=True).stdout

    def _enter(
        self, how: Sequence[str], command: Sequence[str], check: bool
    ) -> subprocess.CompletedProcess[str]:
        entering = ["nsenter", "-t", str(self._systemd), *how, "--", *command]
        done = subprocess.run(entering, capture_output=True, text=True, timeout=900, cwd=ROOT)
        if check:
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done

    def is_up(self) -> bool:
        """Whether systemd has started all that it is to start."""
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        assert state != "degraded", self.run("systemctl", "--failed", "--no-pager").stdout
        return state == "running"


@contextlib.contextmanager
def booted(tree: Path, folder: Path) -> Iterator[DebianMachine]:
    """Boots a machine whose files are those of `tree`; changes go to `folder` and are removed."""
    root = folder / "root"
    with _overlay(tree, folder, root):
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"]
        command += ["--private-network", f"--directory={root}", "--machine=hydro-test"]
        with (folder / "console").open("w") as console:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
        try:
            machine = _machine(process, root, folder / "console")
            wait_until(machine.is_up, 120, "the machine has booted")
            yield machine
        finally:
            _power_off(process)


@contextlib.contextmanager
def _overlay(lower: Path, folder: Path, root: Path) -> Iterator[None]:
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    layers = f"lowerdir={lower},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", root], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", root], check=True)
        shutil.rmtree(folder / "upper")  # it holds hundreds of megabytes
        shutil.rmtree(folder / "work")


def _machine(process: subprocess.Popen[bytes], root: Path, console: Path) -> DebianMachine:
    wait_until(lambda: _systemd(process, console), PATIENCE_S, "systemd is there")
    return DebianMachine(root, _systemd(process, console))


def _systemd(process: subprocess.Popen[bytes], console: Path) -> int:
    """The process that is number 1 inside; 0 while there is none."""
    assert process.poll() is None, console.read_text()
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
    return 0


def _power_off(process: subprocess.Popen[bytes]) -> None:
    """Orderly; what does not end in time is killed with all that runs inside."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
