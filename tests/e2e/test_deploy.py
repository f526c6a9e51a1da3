"""`hydro deploy` and `hydro undeploy` against a whole mesh, as a user runs them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import joblib
import pandas as pd
import pytest
from ports import free_ports
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from whole_mesh import ROOT, WholeMesh, environment, wait_until

from hydro_services.cli import main as cli

pytestmark = pytest.mark.e2e

ROWS = pd.DataFrame({"age": [20, 30, 40, 50], "fee": [1.5, 2.5, None, 4.5]}).fillna(3.0)
CHURNS = ["no", "no", "yes", "yes"]
MODEL_PY = """
class Model:
    def __init__(self, folder): {init}
    def evaluate(self, columns): {body}
"""
COLUMNS = {
    "inputs": [{"name": "x", "type": "int64"}],
    "outputs": [{"name": "y", "type": "int64"}],
}
SAME = "return {'y': columns['x']}"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True)
class User:
    """Runs commands in a folder of their own, against a mesh."""

    mesh: WholeMesh
    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def variables(self) -> dict[str, str]:
        parts = ("manager", "gateway", "repository")
        return {f"HYDRO_{part.upper()}": self.mesh.address(part) for part in parts}

    def command(self, *words: str) -> tuple[list[str], Mapping[str, str]]:
        command = [sys.executable, "-m", "hydro_services.cli.main", *words]
        return command, environment() | self.variables

    def hydro(self, *words: str) -> Ran:
        """In this process, which has imported all that it needs."""
        code = cli.main(words)
        return Ran(code, *self.capsys.readouterr())

    def deploy(self, *words: str) -> dict[str, Any]:
        """What came of a deployment that has to be well."""
        done = self.hydro("deploy", *words, "--json")
        assert done.code == 0, done.err
        return done.json

    def predict(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        url = f"{self.mesh.urls['gateway']}/api/v1/serve/{name}"
        answer = httpx.post(url, json=rows)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def pipelines(self) -> dict[str, list[str]]:
        """The chain of each, by name; those that are pending too."""
        listed = httpx.get(f"{self.mesh.urls['manager']}/api/v1/pipelines").json()["pipelines"]
        return {p["name"]: (p.get("pending") or p)["chain"] for p in listed}

    def versions(self, name: str) -> list[str]:
        """Of a model, in the repository's folder."""
        return sorted(path.name for path in (self.mesh.models / "deployed").glob(f"{name}/*"))

    def trusted(self) -> str:
        return self.mesh.trusted.read_text()

    def nothing_is_left(self, name: str) -> bool:
        assert [*(self.mesh.models / ".deploying/staged").glob("*")] == []
        assert f"  {name}\n" not in self.trusted()
        return self.versions(name) == [] and name not in self.pipelines()


@pytest.fixture
def user(
    mesh: WholeMesh,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[User]:
    found = User(mesh, tmp_path, capsys)
    monkeypatch.chdir(tmp_path)
    for name, value in found.variables.items():
        monkeypatch.setenv(name, value)
    before = found.pipelines()
    yield found
    for name in found.pipelines().keys() - before.keys():
        found.hydro("undeploy", name)


def fitted() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, CHURNS)


def python_model(
    folder: Path, init: str = "pass", body: str = "return {'y': columns['x']}"
) -> None:
    folder.mkdir()
    (folder / "model.py").write_text(MODEL_PY.format(init=init, body=body))
    columns = {
        "inputs": [{"name": "x", "type": "int64"}],
        "outputs": [{"name": "y", "type": "int64"}],
    }
    (folder / "metadata.json").write_text(json.dumps({"model": folder.name, **columns}))
    (folder.parent / "x.json").write_text('[{"x": 1}, {"x": 2}]')


def test_a_fitted_model_is_deployed_answers_as_itself_and_goes_away(user: User) -> None:
    model = fitted()
    joblib.dump(model, user.folder / "churn-a.joblib")
    ROWS.to_csv(user.folder / "rows.csv", index=False)
    done = user.deploy("churn-a.joblib", "--example", "rows.csv", "--trust")
    assert (done["name"], done["version"], done["format"]) == ("churn-a", "1", "skops")
    assert done["compared"]
    assert [row["prediction"] for row in done["answers"]] == model.predict(ROWS).tolist()
    rows = json.loads(ROWS.to_json(orient="records"))
    answers = user.predict("churn-a", rows)
    assert [row["probability"] for row in answers] == model.predict_proba(ROWS).tolist()
    told = user.hydro("undeploy", "churn-a")
    assert (told.code, told.err) == (0, "undeployed churn-a: its pipeline, version 1\n")
    assert user.nothing_is_left("churn-a")
    assert "neither a pipeline nor a deployed model" in user.hydro("undeploy", "churn-a").err


def test_what_is_shown_can_be_pasted(user: User) -> None:
    python_model(user.folder / "it's")
    done = user.hydro("deploy", "it's", "--name", "paste", "--example", "x.json", "--trust")
    assert done.code == 0, done.err
    curl, python = done.out.partition("curl ")[2].split("\n\n", 1)
    for command in (["sh", "-c", f"curl -s {curl}"], [sys.executable, "-c", python]):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert [row["y"] for row in json.loads(ran.stdout.replace("'", '"'))] == [1]


def test_a_new_version_takes_the_place_of_the_old_one(user: User) -> None:
    for answer in ("no", "yes"):
        model = DummyClassifier(strategy="constant", constant=answer).fit(ROWS, CHURNS)
        joblib.dump(model, user.folder / "churn-b.joblib")
        ROWS.to_parquet(user.folder / "rows.parquet")
        done = user.deploy("churn-b.joblib", "--example", "rows.parquet", "--trust")
        assert {row["prediction"] for row in done["answers"]} == {answer}
    assert user.pipelines()["churn-b"] == ["serving-scikit/churn-b:2"]
    assert user.versions("churn-b") == ["1", "2"]
    back = user.hydro("pipelines", "apply", "churn-b", "serving-scikit/churn-b:1")
    assert back.code == 0, back.err
    assert user.predict("churn-b", [{"age": 1, "fee": 1.0}])[0]["prediction"] == "no"
    assert user.hydro("undeploy", "churn-b").code == 0
    assert user.nothing_is_left("churn-b")


def test_a_folder_is_deployed_once_for_the_same_content(user: User) -> None:
    python_model(user.folder / "same")
    words = ("same", "--example", "x.json", "--trust")
    assert [user.deploy(*words)["version"] for _ in range(2)] == ["1", "1"]
    (user.folder / "same/more.txt").write_text("x")
    assert user.deploy(*words)["version"] == "2"


def test_a_model_of_spark_needs_neither_trust_nor_an_example(user: User) -> None:
    done = user.deploy(str(ROOT / "models/spark/pm_spark"), "--name", "spark-a")
    assert (done["format"], done["answers"], done["compared"]) == ("spark", [], "")
    assert len(done["rows"][0]["features"]) == 34
    user.predict("spark-a", done["rows"])


def test_a_model_in_the_repository_stays_there(user: User) -> None:
    folder = user.mesh.models / "python" / "in-place"
    folder.parent.mkdir(exist_ok=True)
    python_model(folder)
    (folder.parent / "x.json").rename(user.folder / "x.json")
    done = user.deploy(str(folder), "--example", "x.json", "--trust")
    assert (done["folder"], done["version"]) == (str(folder), "1")
    assert (
        "of this name that hydro deploy did not write"
        in user.hydro(*("deploy", str(ROOT / "models/spark/pm_spark"), "--name", "in-place")).err
    )
    assert user.hydro("undeploy", "in-place").code == 0
    assert (folder / "model.py").exists()
    shutil.rmtree(folder.parent)


class Boom:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {os.environ['BOOM']}",)


def test_nothing_is_unpickled_before_trust_was_given(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = user.folder / "boom"
    monkeypatch.setenv("BOOM", str(mark))
    (user.folder / "boom.pkl").write_bytes(pickle.dumps(Boom()))
    done = user.hydro("deploy", "boom.pkl", "--name", "boom-a")
    assert done.code == 1
    assert "hydro deploy boom.pkl --name boom-a --trust" in done.err
    assert not mark.exists()
    assert user.nothing_is_left("boom-a")


def test_who_sits_at_a_terminal_is_asked(user: User) -> None:
    python_model(user.folder / "asked")
    command, variables = user.command("deploy", "asked", "--example", "x.json")
    for answer, code in (("n", 1), ("y", 0)):
        terminal, its_end = os.openpty()
        try:
            process = subprocess.Popen(
                command,
                cwd=user.folder,
                env=variables,
                stdin=its_end,
                stderr=its_end,
                stdout=subprocess.DEVNULL,
            )
            told = b""
            while b"[y/N]" not in told:
                told += os.read(terminal, 4096)
            os.write(terminal, f"{answer}\n".encode())
            assert process.wait(60) == code
        finally:
            os.close(terminal)
            os.close(its_end)
    assert "asked" in user.trusted()


FAILING = {
    "no file": (("nothing.pkl",), "no file or folder nothing.pkl"),
    "bad file": (("bad.joblib", "--trust"), "bad.joblib: cannot be read"),
    "cut file": (("cut.skops",), "cut.skops"),
    "no model": (("x.json",), "x.json: no model here: found x.json"),
    "no name": (("x.json", "--name", "1 2"), "no pipeline is called '1 2'; give a name by --name"),
    "no rows": (("fine", "--trust", "--example", "none.json"), "none.json: has no rows"),
    "bad rows": (("fine", "--trust", "--example", "bad.json"), "bad.json: cannot be read"),
    "other rows": (("fine", "--trust", "--example", "other.json"), "row 0 of the example"),
    "lacking column": (
        ("m.pkl", "--trust", "--example", "x.json"),
        "lacks the model's column 'age'",
    ),
    "raises at load": (("raising", "--trust"), "no weights"),
    "raises at rows": (("failing", "--trust", "--example", "x.json"), "cannot answer"),
}


@pytest.mark.parametrize(("words", "told"), FAILING.values(), ids=FAILING)
def test_a_step_that_fails_tells_the_way_out_and_leaves_nothing(
    user: User, words: tuple[str, ...], told: str
) -> None:
    python_model(user.folder / "fine")
    python_model(user.folder / "raising", init="raise ValueError('no weights')")
    python_model(user.folder / "failing", body="raise ValueError('cannot answer')")
    for name, text in (("bad.joblib", "junk"), ("cut.skops", "PK"), ("none.json", "[]")):
        (user.folder / name).write_text(text)
    (user.folder / "bad.json").write_text("[1, 2")
    (user.folder / "other.json").write_text('[{"z": 1}]')
    (user.folder / "m.pkl").write_bytes(pickle.dumps(fitted()))
    before = user.trusted(), user.pipelines()
    done = user.hydro("deploy", *words)
    assert (done.code, done.out) == (2 if "1 2" in words else 1, "")
    assert done.err.splitlines()[-1].startswith("error: ")
    assert told in done.err
    assert "staged" not in done.err
    assert "Traceback" not in done.err
    assert (user.trusted(), user.pipelines()) == before
    assert user.nothing_is_left(words[0].partition(".")[0])


def test_the_old_version_serves_on_when_the_new_one_fails(user: User) -> None:
    python_model(user.folder / "steady")
    user.deploy("steady", "--example", "x.json", "--trust")
    trusted = user.trusted()
    for number, body in enumerate(("raise ValueError('new')", "return {'y': ['a'] * 2}")):
        (user.folder / "steady/model.py").write_text(
            MODEL_PY.format(init="pass" if number else "raise OSError", body=body)
        )
        assert user.hydro("deploy", "steady", "--example", "x.json", "--trust").code == 1
        assert user.pipelines()["steady"] == ["serving-customscikit/steady:1"]
        assert user.predict("steady", [{"x": 5}])[0]["y"] == 5
        assert (user.versions("steady"), user.trusted()) == (["1"], trusted)


def test_a_model_that_the_mesh_alone_cannot_load_is_taken_back(user: User) -> None:
    mark = user.folder / "here"
    init = f"import os; os.getcwd() == {str(user.folder)!r} or 1/0"
    python_model(user.folder / "elsewhere", init=init)
    done = user.hydro("deploy", "elsewhere", "--example", "x.json", "--trust")
    assert done.code == 1
    assert "division by zero" in done.err
    assert "taken back: the pipeline" in done.err
    assert not mark.exists()
    assert user.nothing_is_left("elsewhere")


def test_a_pipeline_of_several_stages_keeps_its_name(user: User) -> None:
    stage = "serving-customscikit/length"
    chain = ("serving-customscikit/moody", stage)
    assert user.hydro("pipelines", "apply", "chain-a", *chain).code == 0
    python_model(user.folder / "chain-a")
    done = user.hydro("deploy", "chain-a", "--example", "x.json", "--trust")
    assert done.code == 1
    assert "pipeline 'chain-a' has 2 stages" in done.err
    assert "--name" in done.err
    assert "has 2 stages" in user.hydro("undeploy", "chain-a").err
    assert user.pipelines()["chain-a"] == [*chain]
    user.hydro("pipelines", "delete", "chain-a")


def test_policies_and_other_users_of_a_model_are_respected(user: User) -> None:
    python_model(user.folder / "kept")
    user.deploy("kept", "--example", "x.json", "--trust")
    wanted = {"name": "kept", "chain": ["serving-customscikit/kept:1"], "policy": {"timeout": "7s"}}
    (user.folder / "p.json").write_text(json.dumps(wanted))
    assert user.hydro("pipelines", "apply", "-f", "p.json").code == 0
    (user.folder / "kept/more.txt").write_text("x")
    assert user.deploy("kept", "--example", "x.json", "--trust")["version"] == "2"
    shown = json.loads(user.hydro("pipelines", "get", "kept", "--json").out)
    assert shown["policy"]["timeout"] == "7s"
    assert user.hydro("pipelines", "apply", "other-a", "serving-customscikit/kept:1").code == 0
    done = user.hydro("undeploy", "kept")
    assert (done.code, "pipeline 'other-a' uses the model 'kept'" in done.err) == (1, True)
    assert user.hydro("pipelines", "delete", "other-a").code == 0


SLOW = "import os, time; (folder / 'x').exists(); os.getcwd() == {cwd!r} or time.sleep(60)"


def started(user: User, *words: str) -> subprocess.Popen[str]:
    command, variables = user.command(*words)
    return subprocess.Popen(
        command, cwd=user.folder, env=variables, stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_in_the_middle_takes_all_back(user: User) -> None:
    python_model(user.folder / "slow-a", init=SLOW.format(cwd=str(user.folder)))
    process = started(user, "deploy", "slow-a", "--example", "x.json", "--trust")
    wait_until(lambda: "slow-a" in user.pipelines(), 60, "it is being loaded")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "taken back: the new version" in err
    assert user.nothing_is_left("slow-a")


def test_of_two_deployments_at_once_the_second_is_told(user: User) -> None:
    python_model(user.folder / "slow-b", init=SLOW.format(cwd=str(user.folder)))
    first = started(user, "deploy", "slow-b", "--example", "x.json", "--trust")
    wait_until(lambda: "slow-b" in user.pipelines(), 60, "it is being loaded")
    second = user.hydro("deploy", "slow-b", "--example", "x.json", "--trust")
    assert (second.code, "somebody else is deploying 'slow-b'" in second.err) == (1, True)
    assert "somebody else is deploying" in user.hydro("undeploy", "slow-b").err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert user.nothing_is_left("slow-b")


def test_without_a_mesh_it_says_how_to_start_one(user: User) -> None:
    python_model(user.folder / "away")
    (port,) = free_ports(1)
    done = user.hydro("deploy", "away", "--trust", "--manager", f"127.0.0.1:{port}")
    assert (done.code, "start it with `hydro up`" in done.err) == (3, True)
