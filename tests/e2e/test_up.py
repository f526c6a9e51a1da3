"""`hydro up` as a user runs it: the example models, the real Envoy, the commands it names."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from plain_http import Lines, Load

from hydro_services.manager.engine.store import Store

ROOT = Path(__file__).resolve().parents[2]
CHAIN = ("serving-customscikit/pm_scikit", "serving-localml-spark/pm_spark")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("HYDRO_")},
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
}
IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
HYDRO = (sys.executable, "-m", "hydro_services.cli.main")

pytestmark = pytest.mark.e2e


@dataclass
class Mesh:
    process: subprocess.Popen[str]
    ready: dict[str, Any]
    data: Path
    variables: dict[str, str] = field(default_factory=dict)

    def hydro(self, *words: str, code: int = 0) -> str:
        """The output of a command that finds this mesh by its environment."""
        parts = ("manager", "gateway", "repository")
        found = {f"HYDRO_{p.upper()}": self.ready[p].removeprefix("http://") for p in parts}
        done = subprocess.run(
            [*HYDRO, *words],
            env=ENVIRONMENT | found | self.variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    def pids(self) -> dict[str, int]:
        """By the name that ps shows, of all processes of the mesh."""
        found, parents = {self.process.pid}, processes()
        for _ in range(4):
            found |= {pid for pid, (parent, _) in parents.items() if parent in found}
        return {parents[pid][1]: pid for pid in found if pid in parents}

    def predict(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = json.loads(
            self.hydro("predict", "endpointML", "examples/rows.json")
        )
        return answer


def processes() -> dict[int, tuple[int, str]]:
    """Parent and name of every process that has not ended."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, tail = file.read_text().rpartition(")")
            fields = tail.split()
            if fields[0] != "Z":
                found[int(file.parent.name)] = (int(fields[1]), head.partition("(")[2])
    return found


def until(holds: Callable[[], bool], limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


@contextlib.contextmanager
def running(data: Path, *options: str, **variables: str) -> Iterator[Mesh]:
    ports = [f"--{part}-port=0" for part in ("manager", "gateway", "repository", "xds")]
    words = ["up", "--models=models", "--trusted=models/trusted.txt", f"--data={data}", "--json"]
    process = subprocess.Popen(
        [*HYDRO, *words, *ports, *options],
        env=ENVIRONMENT | variables,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        umask=0,
    )
    assert process.stdout
    try:
        yield Mesh(process, json.loads(process.stdout.readline()), data)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with running(tmp_path / "data") as mesh:
        yield mesh


def test_rows_go_in_and_predictions_come_out(mesh: Mesh) -> None:
    mesh.hydro("pipelines", "apply", "endpointML", *CHAIN)
    rows = json.loads((ROOT / "examples" / "rows.json").read_text())
    answers = mesh.predict()
    assert [answer["predictionLabel"] for answer in answers] == ["no", "yes"]
    assert [answer["probability"][1] > 0.5 for answer in answers] == [False, True]
    assert all(row.items() <= answer.items() for row, answer in zip(rows, answers, strict=True))
    assert "endpointML" in mesh.hydro("pipelines", "list")
    assert mesh.hydro("predict", "nope", "examples/rows.json", code=1) == ""


def test_killed_parts_come_back_with_their_pipelines(mesh: Mesh) -> None:
    mesh.hydro("pipelines", "apply", "endpointML", *CHAIN)
    before, count = mesh.pids(), len(endpoints(mesh))
    for name in ("serving-customs", "serving-localml", "repository", "manager", "envoy"):
        os.kill(before[name], signal.SIGKILL)
        until(lambda name=name: mesh.pids().get(name, before[name]) != before[name])  # type: ignore[misc]
    until(lambda: all(e["ready"] for e in endpoints(mesh)) and len(endpoints(mesh)) == count)
    assert [answer["predictionLabel"] for answer in mesh.predict()] == ["no", "yes"]


def endpoints(mesh: Mesh) -> list[dict[str, Any]]:
    with contextlib.suppress(AssertionError):
        services = json.loads(mesh.hydro("services", "list", "--json"))
        return [endpoint for service in services for endpoint in service["endpoints"]]
    return []


def test_ctrl_c_drains_and_leaves_no_process(mesh: Mesh) -> None:
    pids = set(mesh.pids().values())
    assert len(pids) > 6
    os.killpg(mesh.process.pid, signal.SIGINT)
    assert mesh.process.wait(30) == 0
    until(lambda: not pids & processes().keys())


def test_sigterm_to_the_whole_group_loses_no_request(mesh: Mesh) -> None:
    mesh.hydro("pipelines", "apply", "iris", "serving-scikit/iris")
    gateway = mesh.ready["gateway"].removeprefix("http://")
    load = [Load(gateway, "iris", IRIS) for _ in range(4)]
    for each in load:
        each.start()
    until(lambda: all(each.answered > 20 for each in load))
    with Lines(gateway, "iris") as lines:
        assert lines.ask(IRIS)["prediction"] == "setosa"
        os.killpg(mesh.process.pid, signal.SIGTERM)
        for each in load:
            each.join(30)
        assert [lines.ask(IRIS)["prediction"] for _ in range(3)] == ["setosa"] * 3
    assert [each.failures for each in load] == [[]] * 4
    assert all(each.is_told for each in load)
    assert mesh.process.wait(30) == 0


def test_kill_9_leaves_no_process(mesh: Mesh) -> None:
    pids = set(mesh.pids().values())
    mesh.process.kill()
    until(lambda: not pids & processes().keys())


def test_a_second_mesh_on_the_same_data_is_refused_before_it_starts_anything(mesh: Mesh) -> None:
    words = ["up", f"--data={mesh.data}", "--manager-port=0", "--gateway-port=0", "--json"]
    done = subprocess.run(
        [*HYDRO, *words],
        env=ENVIRONMENT,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"process id {mesh.process.pid}; stop that one" in done.stderr


def test_pipelines_survive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path / "data") as mesh:
        mesh.hydro("pipelines", "apply", "endpointML", *CHAIN)
        mesh.process.send_signal(signal.SIGTERM)
        assert mesh.process.wait(30) == 0
        assert open_to_others(mesh.data) == []
    for each in (mesh.data, *mesh.data.rglob("*")):
        each.chmod(0o777 if each.is_dir() else 0o666)  # as of an older version
    with running(tmp_path / "data") as mesh:
        assert open_to_others(mesh.data) == []
        until(
            lambda: (
                json.loads(mesh.hydro("pipelines", "list", "--json"))[0]["state"]
                == "PIPELINE_STATE_READY"
            )
        )
        assert [answer["prediction"] for answer in mesh.predict()] == [0, 1]


def test_a_store_of_a_newer_version_is_told_once_and_nothing_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "data" / "manager" / "manager.sqlite"
    Store(file).close()
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 9")
    for words in (["up", f"--data={tmp_path}/data"], ["manager", f"--data={file.parent}"]):
        done = subprocess.run(
            [*HYDRO, *words],
            env=ENVIRONMENT,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert (done.returncode, done.stdout) == (4, ""), done.stderr
        assert done.stderr.count("a newer hydro-serving has written it: start that") == 1
        assert "restarting it" not in done.stderr


def test_ipv6_and_no_proxy_of_the_environment(tmp_path: Path) -> None:
    names = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "ALL_PROXY")
    proxies = dict.fromkeys(names, "http://127.0.0.1:9")
    with running(tmp_path / "data", "--host=::1", **proxies) as mesh:
        assert mesh.ready["gateway"].startswith("http://[::1]:")
        mesh.variables = proxies
        mesh.hydro("pipelines", "apply", "endpointML", *CHAIN)
        assert [answer["prediction"] for answer in mesh.predict()] == [0, 1]


def open_to_others(folder: Path) -> list[str]:
    """What any other user can read or enter; a file may go while we look."""
    found = []
    for each in (folder, *folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            mode = each.lstat().st_mode
            if mode & 0o077 and not stat.S_ISLNK(mode):
                found.append(f"{each} {stat.filemode(mode)}")
    return found


# ---- policies


def test_policies_of_a_file_are_planned_applied_and_enforced(mesh: Mesh, tmp_path: Path) -> None:
    def use(command: str, **fields: Any) -> str:
        wanted = {"name": "endpointML", "transportType": "http", "chain": CHAIN} | fields
        (tmp_path / "wanted.json").write_text(json.dumps(wanted))
        return mesh.hydro("pipelines", command, "-f", str(tmp_path / "wanted.json"))

    use("apply")
    assert [ask(mesh)[0] for _ in range(4)] == [200] * 4, "without a rate limit"
    limited = {"policy": {"rateLimit": {"requests": 2, "per": "3600s"}}}
    assert re.search(r'^    \+ +"max_tokens": 2,$', use("plan", **limited), re.MULTILINE)
    assert ask(mesh)[0] == 200, "a plan changes nothing"
    use("apply", **limited)
    answers = [ask(mesh) for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 200, 429, 429]
    assert (answers[3][1]["retry-after"], answers[3][2]["code"]) == ("1800", 8)
    use("apply", policy={"timeout": "0.001s"})
    status, _, body = ask(mesh, times=500)
    assert (status, body["code"]) == (504, 4), "by Envoy or, told of the time, by a runtime"
    canary = {"name": "canary", "chain": CHAIN, "weight": 10}
    use("apply", traffic={"variants": [canary]})
    seen = {ask(mesh)[1]["x-hydro-variant"] for _ in range(40)}
    assert "main" in seen
    planned = use("plan", traffic={"variants": [canary | {"weight": 100}]})
    assert planned.splitlines()[0] == "~ RouteConfiguration pipeline/endpointML"
    assert re.search(r'^    - +"weight": 10$', planned, re.MULTILINE)
    use("apply", traffic={"variants": [canary | {"weight": 100}]})
    assert {ask(mesh)[1]["x-hydro-variant"] for _ in range(5)} == {"canary"}
    use("apply", traffic={"shadow": {"chain": ["serving-scikit/iris"]}})
    assert [ask(mesh)[0] for _ in range(5)] == [200] * 5, "though the shadow refuses such rows"
    until(lambda: shadows(mesh) == 5)


def ask(mesh: Mesh, times: int = 1) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of the answer to the example rows, so many times each."""
    gateway = mesh.ready["gateway"].removeprefix("http://")
    connection = http.client.HTTPConnection(gateway, timeout=PATIENCE_S)
    rows = json.loads((ROOT / "examples" / "rows.json").read_bytes()) * times
    headers = {"content-type": "application/json"}
    connection.request("POST", "/api/v1/serve/endpointML", json.dumps(rows), headers)
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    with contextlib.closing(connection):
        return answer.status, found, json.loads(answer.read())


def shadows(mesh: Mesh) -> int:
    """The copies that were answered, as Envoy counts them."""
    (found,) = mesh.data.rglob("admin.address")
    connection = http.client.HTTPConnection(found.read_text().strip(), timeout=PATIENCE_S)
    connection.request("GET", "/stats?filter=^vhost.endpointML@shadow.*upstream_rq_completed")
    with contextlib.closing(connection):
        lines = connection.getresponse().read().decode().split()
    return int(lines[-1]) if lines else 0
