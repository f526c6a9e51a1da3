"""Commands against a real server in this process."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import mesh_server
import pytest

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro_envoy.address import ANY_PORT
from hydro_services import rpc
from hydro_services.cli import main as cli
from hydro_services.cli import pipeline_texts


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Awaitable[Ran]]


@pytest.fixture
async def hydro(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Run]:
    """Runs a command line in a thread, against a server in this one."""
    async with rpc.serve(ANY_PORT, mesh_server.register, (), grace_s=0) as served:
        for part in ("MANAGER", "REPOSITORY", "GATEWAY"):
            monkeypatch.setenv(f"HYDRO_{part}", str(served.address))

        async def run(*words: str) -> Ran:
            code = await asyncio.to_thread(cli.main, words)
            return Ran(code, *capsys.readouterr())

        yield run


async def test_a_pipeline_is_applied_listed_shown_and_deleted(hydro: Run) -> None:
    assert (await hydro("pipelines", "apply", "p", "s/a", "s/b")).code == 0
    assert (await hydro("pipelines", "list")).out == "p  ready  s/a -> s/b\n"
    assert (await hydro("pipelines", "get", "p")).out == "p  ready\n"
    assert (await hydro("pipelines", "delete", "p")).err == "deleted p\n"
    listed = await hydro("pipelines", "list")
    assert (listed.out, "no pipelines yet" in listed.err) == ("", True)


async def test_json_is_as_the_http_api_writes_it(hydro: Run) -> None:
    applied = json.loads((await hydro("pipelines", "apply", "p", "s/a", "--json")).out)
    assert (applied["name"], applied["transportType"], applied["chain"]) == ("p", "http", ["s/a"])
    assert json.loads((await hydro("pipelines", "list", "--json")).out) == [applied]
    assert json.loads((await hydro("pipelines", "delete", "p", "--json")).out) == {"deleted": "p"}


async def test_a_pipeline_of_a_file_is_the_originals_json(hydro: Run, tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"name": "p", "transportType": "grpc", "chain": ["s/a"]}')
    applied = await hydro("pipelines", "apply", "-f", str(file), "--json")
    assert json.loads(applied.out)["transportType"] == "grpc"


async def test_variants_and_policies_are_shown(hydro: Run, tmp_path: Path) -> None:
    variant = {"name": "new", "chain": ["s/b"], "weight": 5, "headers": {"x-team": "qa"}}
    wanted = {
        "name": "p",
        "chain": ["s/a"],
        "policy": {"timeout": "2s"},
        "traffic": {"variants": [variant], "shadow": {"chain": ["s/c"]}},
    }
    file = tmp_path / "p.json"
    file.write_text(json.dumps(wanted))
    applied = await hydro("pipelines", "apply", "-f", str(file))
    assert applied.out.splitlines() == [
        "p  ready",
        "variant new  5 %, x-team: qa",
        "shadow  100 %",
        'policy  {"timeout": "2s"}',
    ]


def test_a_change_is_shown_by_the_lines_that_differ() -> None:
    change = manager_pb.ResourceChange(action="change", before="a\nb\nc", after="a\nx\nc")
    assert pipeline_texts.changed_lines(change) == ["@@ -1,3 +1,3 @@", " a", "-b", "+x", " c"]
    change.before = ""
    assert pipeline_texts.changed_lines(change) == ["a", "x", "c"]


@pytest.mark.parametrize("text", ["nonsense", "[1]", '{"chains": []}', '{"name": 3}'])
async def test_a_file_that_holds_no_pipeline_is_refused(
    hydro: Run, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "p.json"
    file.write_text(text)
    ran = await hydro("pipelines", "apply", "-f", str(file))
    assert ran.code == 1
    assert "want {" in ran.err


async def test_a_plan_shows_each_change(hydro: Run) -> None:
    planned = await hydro("pipelines", "plan", "p", "s/a")
    assert planned.out.splitlines()[:3] == ["+ RouteConfiguration p", "", "+ RouteConfiguration p"]
    assert '      "name": "p"' in planned.out.splitlines()


async def test_the_servers_error_is_told_as_it_is(hydro: Run) -> None:
    ran = await hydro("pipelines", "get", "nope")
    assert (ran.code, ran.out, ran.err) == (1, "", "error: no pipeline named 'nope'\n")


async def test_services_are_listed_with_their_endpoints(hydro: Run) -> None:
    ran = await hydro("services", "list")
    assert ran.out.split() == ["serving-scikit", "serving-scikit-1", "127.0.0.1:9", "ready"]


async def test_a_model_is_shown_with_columns_and_files(hydro: Run) -> None:
    ran = await hydro("models", "show", "iris")
    assert "  x: float64[4]\n" in ran.out
    assert "stages\n  PipelineModel  p\n    Tokenizer  t\n" in ran.out
    assert "1.5 kB  cdcdcdcdcdcd  model.skops" in ran.out
    assert (await hydro("models", "show", "nope")).code == 1


async def test_an_array_is_answered_by_an_array(hydro: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[{"x": 1}, {"x": 2}]')
    ran = await hydro("predict", "p", str(file))
    assert (ran.code, json.loads(ran.out)) == (0, [{"x": 1, "y": 2}, {"x": 2, "y": 3}])


async def test_lines_are_answered_by_lines_as_they_come(
    hydro: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as stdin, os.fdopen(writer, "wb", buffering=0) as rows:
        monkeypatch.setattr("sys.stdin", stdin)
        predicting = asyncio.create_task(asyncio.to_thread(cli.main, ("predict", "p")))
        seen = ""
        for x in (1, 2):
            rows.write(b'{"x": %d}\n' % x)
            async with asyncio.timeout(20):
                while seen.count("\n") < x:
                    await asyncio.sleep(0.01)
                    seen += capsys.readouterr().out
        rows.close()
        assert await predicting == 0
    assert [json.loads(line)["y"] for line in seen.splitlines()] == [2, 3]


async def test_a_failed_row_is_counted_and_code_1(hydro: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_text('{"x": 1}\n{"z": 1}\n')
    ran = await hydro("predict", "p", str(file))
    assert (ran.code, ran.err) == (1, "1 row failed\n")
    assert "error" in json.loads(ran.out.splitlines()[1])


async def test_a_table_has_the_chosen_columns_and_tells_of_failed_rows(
    hydro: Run, tmp_path: Path
) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[{"x": 1, "t": "text"}, {}, {"x": 3}]')
    ran = await hydro("predict", "p", str(file), "--table", "y,t")
    assert ran.out.splitlines() == ["row  y  t", "0    2  text", "2    4"]
    assert ran.err == "row 1 failed: column 'x' is missing\n1 row failed\n"


async def test_an_unknown_pipeline_is_told(hydro: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text("[]")
    ran = await hydro("predict", "nope", str(file))
    assert (ran.code, ran.err) == (1, "error: no such pipeline: nope\n")
