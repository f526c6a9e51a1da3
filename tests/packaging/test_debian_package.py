"""The Debian package: installed in a clean Debian, started by its systemd, asked, and removed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_machine import DebianMachine, booted
from packages import built, debian_packages, script
from whole_mesh import ROOT, wait_until

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(1200)]

PARTS = (
    "hydro-gateway.service",
    "hydro-manager.service",
    "hydro-repository.service",
    "hydro-runtime@serving-customscikit.service",
    "hydro-runtime@serving-localml-spark.service",
    "hydro-runtime@serving-scikit.service",
)
PIPELINE = {
    "name": "endpointML",
    "transportType": "http",
    "chain": ["serving-customscikit/pm_scikit", "serving-localml-spark/pm_spark"],
}
JSON = ("-H", "content-type: application/json")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a user gets it."""
    return built(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def machine(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianMachine]:
    """A clean Debian in which the package was installed and its parts were started."""
    if os.geteuid() != 0:
        pytest.skip("only root can boot a machine")
    debian_packages("systemd-container")
    with booted(Path(script("scripts/debian_tree")), tmp_path_factory.mktemp("machine")) as machine:
        shutil.copy(package, machine.root / "srv/hydro.deb")
        machine.run("dpkg", "--install", "--force-unsafe-io", "/srv/hydro.deb")
        yield machine


def test_installing_starts_nothing(machine: DebianMachine) -> None:
    assert units(machine) == {}


def test_the_mesh_serves_the_pipeline_of_the_demo(machine: DebianMachine) -> None:
    models = machine.root / "var/lib/hydro/models"
    for framework in ("scikit", "spark"):
        shutil.copytree(ROOT / "models" / framework, models / framework)
    with (machine.root / "etc/hydro/trusted.txt").open("a") as trusted:
        trusted.write((ROOT / "models/trusted.txt").read_text())

    machine.run("systemctl", "enable", "--now", "hydro.target")
    wait_until(lambda: len(endpoints(machine)) == 4, 120, "all parts are registered")
    assert answers(machine) == ["no", "yes"]

    states = dict.fromkeys(PARTS, "active")
    assert units(machine) == states
    machine.run("systemctl", "kill", "--signal=KILL", "hydro-manager.service")
    wait_until(lambda: len(endpoints(machine)) == 4, 60, "the manager was started again")
    assert units(machine) == states
    assert answers(machine) == ["no", "yes"]


def test_parts_run_as_users_of_their_own_with_next_to_no_rights(machine: DebianMachine) -> None:
    users = set(owners(machine).values())
    assert len(users) == len(PARTS)
    assert "0" not in users
    units = "cd /usr/lib/systemd/system && systemd-analyze verify hydro.target hydro-*.service"
    assert machine.run("sh", "-c", units).stderr == ""
    report = machine.run("systemd-analyze", "security", "--no-pager").stdout
    exposures = [line.split()[1] for line in report.splitlines() if line.startswith("hydro-")]
    assert [float(each) for each in exposures] == pytest.approx([1.1] * len(PARTS), abs=0.2)


def test_a_part_takes_a_key_by_its_credentials(machine: DebianMachine) -> None:
    """As docs/operations.md says: the key's file is root's alone."""
    key = machine.run("hydro", "keys", "admin").stdout.strip()
    (machine.root / "etc/hydro/admin.key").touch(0o600)
    (machine.root / "etc/hydro/admin.key").write_text(key)
    drop_in = machine.root / "etc/systemd/system/hydro-manager.service.d/key.conf"
    drop_in.parent.mkdir()
    option = "HYDRO_MANAGER_OPTIONS=--admin-key-file %d/admin-key"
    credential = "LoadCredential=admin-key:/etc/hydro/admin.key"
    drop_in.write_text(f'[Service]\n{credential}\nEnvironment="{option}"\n')
    restart(machine)
    wait_until(lambda: status(machine) == "401", 60, "the manager wants its key")
    assert status(machine, "-H", f"authorization: Bearer {key}") == "200"
    shutil.rmtree(drop_in.parent)
    restart(machine)
    wait_until(lambda: status(machine) == "200", 60, "the manager wants no key")


def restart(machine: DebianMachine) -> None:
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "hydro-manager.service")


def status(machine: DebianMachine, *arguments: str) -> str:
    """What the manager's API answers."""
    url = "http://127.0.0.1:8080/api/v1/pipelines"
    return machine.curl("-o", "/dev/null", "-w", "%{http_code}", *arguments, url)


def test_an_upgrade_restarts_what_runs_and_nothing_else(machine: DebianMachine) -> None:
    machine.run("systemctl", "stop", "hydro-runtime@serving-scikit.service")
    before = owners(machine)
    machine.run("/var/lib/dpkg/info/hydro-serving.postinst", "configure", "0.0.9")
    assert set(units(machine)) == set(PARTS) - {"hydro-runtime@serving-scikit.service"}
    assert not before.keys() & owners(machine).keys()
    wait_until(lambda: len(endpoints(machine)) == 3, 60, "all parts are registered again")
    assert answers(machine) == ["no", "yes"]


def test_purging_leaves_only_data(machine: DebianMachine) -> None:
    machine.run("dpkg", "--purge", "--force-unsafe-io", "hydro-serving")
    assert units(machine) == {}
    found = machine.run("find", "/", "-xdev", "-name", "*hydro*", "-not", "-path", "/proc/*")
    assert sorted(found.stdout.split()) == [
        "/srv/hydro.deb",
        "/var/lib/hydro",
        "/var/lib/private/hydro",
    ]
    machine.run("test", "-e", "/var/lib/hydro/models/scikit/pm_scikit/model.py")
    machine.run("test", "-e", "/var/lib/hydro/manager/manager.sqlite")


def endpoints(machine: DebianMachine) -> list[str]:
    """Instances that the manager knows."""
    done = machine.run("hydro", "services", "list", "--json", check=False)
    services = json.loads(done.stdout) if done.returncode == 0 else []
    return [endpoint["instance"] for each in services for endpoint in each["endpoints"]]


def answers(machine: DebianMachine) -> list[str]:
    """What the pipeline, created over HTTP, tells of the rows of the example."""
    manager, gateway = "http://127.0.0.1:8080/api/v1", "http://127.0.0.1:8083/api/v1"
    # The repository tells of models when their files have settled, which may be later.
    wanted = (*JSON, "--data", json.dumps(PIPELINE), f"{manager}/pipelines")
    told = ("--output", "/dev/null", "--write-out", "%{http_code}")
    wait_until(lambda: machine.curl(*told, *wanted) == "200", 60, "the pipeline is created")
    rows = machine.curl(
        "--fail", *JSON, "--data", "@examples/rows.json", f"{gateway}/serve/endpointML"
    )
    return [row["predictionLabel"] for row in json.loads(rows)]


def units(machine: DebianMachine) -> dict[str, str]:
    """Services of ours that are there, with their states."""
    command = ("systemctl", "list-units", "--plain", "--no-legend", "--type=service", "hydro-*")
    lines = [line.split() for line in machine.run(*command).stdout.splitlines()]
    return {name: state for name, _, state, *_ in lines}


def owners(machine: DebianMachine) -> dict[str, str]:
    """User ids by process, of the parts' processes."""
    command = ("systemctl", "show", "--property=MainPID", "--value", "hydro-*.service")
    found = {}
    for pid in machine.run(*command).stdout.split():
        status = machine.run("grep", "^Uid:", f"/proc/{pid}/status").stdout
        found[pid] = status.split()[1]
    return found
