from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from hydro_envoy.address import Address
from hydro_services.cli import main as cli
from hydro_services.cli import models, part, pipelines, predict, score
from hydro_services.cli.manager_call import ManagerOptions
from hydro_services.cli.parser import SUMMARIES, parse
from hydro_services.cli.usage import UsageError
from hydro_services.default_addresses import GATEWAY, MANAGER
from hydro_services.repository.roots import Root
from hydro_services.up.layout import Options as UpOptions

HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for part_ in ("MANAGER", "GATEWAY", "REPOSITORY", "XDS"):
        monkeypatch.delenv(f"HYDRO_{part_}", raising=False)
        monkeypatch.delenv(f"HYDRO_{part_}_PORT", raising=False)
    for name in ("HOST", "LISTEN", "LOG_LEVEL", "KEYS", "ACCESS", "ADMIN_KEY", "API_KEY"):
        monkeypatch.delenv(f"HYDRO_{name}", raising=False)


@pytest.mark.parametrize(
    ("line", "options"),
    [
        pytest.param("pipelines list", ManagerOptions(MANAGER, False), id="all by default"),
        pytest.param(
            "pipelines get p --json --manager h:1",
            pipelines.OneOptions(Address("h", 1), True, "p"),
            id="a name, an address, JSON",
        ),
        pytest.param(
            "pipelines apply p s/a s/b",
            pipelines.ApplyOptions(MANAGER, False, "p", ("s/a", "s/b"), None, 60.0),
            id="a name and stages",
        ),
        pytest.param(
            "pipelines plan -f p.json",
            pipelines.WantedOptions(MANAGER, False, None, (), "p.json"),
            id="a file",
        ),
        pytest.param(
            "models trust m --file t",
            models.TrustOptions(Path("m"), Path("t"), False),
            id="a folder to trust",
        ),
        pytest.param(
            "predict p", predict.PredictOptions("p", "-", GATEWAY, None, False), id="rows of stdin"
        ),
        pytest.param(
            "predict p rows.json --table a,b",
            predict.PredictOptions("p", "rows.json", GATEWAY, ("a", "b"), False),
            id="columns of a table",
        ),
        pytest.param(
            "score m --trust --json",
            score.ScoreOptions(Path("m"), "-", None, True, True),
            id="a trusted model",
        ),
        pytest.param(
            "up --runtime serving-scikit=2 --runtime serving-localml-spark --gateway-port 9",
            UpOptions(
                models=(Root.parse("models"),),
                trusted=None,
                data=Path(".hydro"),
                host=HERE,
                manager_port=8080,
                gateway_port=9,
                repository_port=8087,
                xds_port=8082,
                runtimes=(("serving-scikit", 2), ("serving-localml-spark", 1)),
                manager={
                    "certificate_ttl_s": 3600.0,
                    "zipkin": None,
                    "otlp": None,
                    "trace_percent": 100.0,
                    "header_limit_s": 10.0,
                    "body_limit_s": 30.0,
                    "idle_limit_s": 300.0,
                    "access_log": "",
                },
                runtime={"cache_bytes": 2 << 30, "zipkin": None, "otlp": None},
            ),
            id="runtimes and a port",
        ),
        pytest.param(
            "manager --xds h:1 --gateway h:2",
            part.PartOptions(
                "manager",
                "hydro_services.manager.process",
                {
                    "data": Path(".hydro/manager"),
                    "listen": Address("h", 1),
                    "manager_api": Address(HERE, 8080),
                    "gateway": Address("h", 2),
                    "repository_api": Address(HERE, 8087),
                    "metrics": Address(HERE, 0),
                    "zipkin": None,
                    "otlp": None,
                    "trace_percent": 100.0,
                    "header_limit_s": 10.0,
                    "body_limit_s": 30.0,
                    "idle_limit_s": 300.0,
                    "access_log": "",
                    "keys": "",
                    "access": "anyone",
                    "admin_key": "",
                    "token_file": None,
                    "sidecar": None,
                    "egress": Address(HERE, 8073),
                    "ca": None,
                    "certificate_ttl_s": 3600.0,
                    "registry": None,
                    "instance": "",
                },
                "INFO",
                False,
            ),
            id="a part alone",
        ),
    ],
)
def test_words_become_options(line: str, options: Any) -> None:
    assert parse(line.split())[1] == options


@pytest.mark.parametrize(
    ("line", "name", "found"),
    [
        ("up --host ::1", "host", "::1"),
        ("up --host [0:0::1]", "host", "::1"),
        ("predict p --gateway [0::1]:80", "gateway", "[::1]:80"),
    ],
)
def test_addresses_of_ipv6_are_one_however_they_are_written(
    line: str, name: str, found: str
) -> None:
    assert str(getattr(parse(line.split())[1], name)) == found


def test_models_have_several_roots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def roots(line: str) -> list[str]:
        return [root.text for root in parse(line.split())[1].models]

    assert roots("up") == ["models"]
    assert roots("up --models a,b --models b --models c") == ["a", "b", "c"]
    monkeypatch.setenv("HYDRO_MODELS", "d,e")
    assert roots("up") == ["d", "e"]
    assert roots("up --models a") == ["a"]
    (tmp_path / "a,b").mkdir()
    assert roots(f"up --models {tmp_path}/a,b") == [f"{tmp_path}/a,b"]
    with pytest.raises(UsageError, match="--models: got nothing, want a folder"):
        roots("up --models a,,b")


@pytest.mark.parametrize("name", ["manager", "repository", "runtime serving-scikit", "gateway"])
def test_the_options_of_a_part_make_its_configuration(name: str) -> None:
    import importlib

    _, options = parse(name.split())
    importlib.import_module(options.module).Config(**options.config)


def test_keys_come_from_files_or_the_environment_and_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HYDRO_ADMIN_KEY", " from-environment\n")
    for line in ("pipelines list", "models list", "up", "services list"):
        found = parse(line.split())[1]
        assert found.admin_key == "from-environment"
        assert "from-environment" not in repr(found)
    (tmp_path / "k").write_text("from-file\n")
    line = f"pipelines get p --admin-key-file {tmp_path}/k"
    assert parse(line.split())[1].admin_key == "from-file"
    line = f"predict p --api-key-file {tmp_path}/k"
    assert parse(line.split())[1].api_key == "from-file"


@pytest.mark.parametrize("text", [b"no certificate", None])
def test_a_file_without_certificates_is_refused(text: bytes | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "ca").write_bytes(text)
    with pytest.raises(UsageError, match=r"cannot read .*/ca|has no certificates; want PEM"):
        parse(["predict", "p", "--tls-ca", str(tmp_path / "ca")])


@pytest.mark.parametrize("text", [b"two words", b"two\nlines", b"\xc3\xbc", b"\xff", None])
def test_a_file_that_holds_no_key_is_refused(text: bytes | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "k").write_bytes(text)
    with pytest.raises(UsageError, match=r"cannot read|want one line of visible ASCII") as raised:
        parse(["models", "list", "--admin-key-file", str(tmp_path / "k")])
    assert "two" not in str(raised.value)


def test_the_environment_sets_addresses_and_an_option_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRO_MANAGER", "h:1")
    monkeypatch.setenv("HYDRO_XDS_PORT", "7")
    assert parse(["pipelines", "list"])[1].manager == Address("h", 1)
    assert parse(["pipelines", "list", "--manager", "h:2"])[1].manager == Address("h", 2)
    assert parse(["up"])[1].xds_port == 7


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("", "arguments are required: COMMAND; see hydro --help", id="no command"),
        pytest.param("frob", "invalid choice: 'frob'", id="an unknown command"),
        pytest.param("pipelines frob", "see hydro pipelines --help", id="an unknown verb"),
        pytest.param(
            "pipelines get", "required: NAME; see hydro pipelines get --help", id="no name"
        ),
        pytest.param("pipelines apply p", "want NAME STAGE", id="no stage"),
        pytest.param("pipelines apply p s -f x", "want NAME STAGE", id="stages and a file"),
        pytest.param("pipelines list --manager h", "got 'h', want host:port", id="no port"),
        pytest.param("up --host a/b", "argument --host: got host 'a/b'", id="an odd host"),
        pytest.param(
            "runtime s --listen ::1:0",
            "argument --listen: got '::1:0', want host:port, for example 10.0.0.5:8080, or [::1]",
            id="IPv6 without brackets",
        ),
        pytest.param(
            "gateway --xds [::1]:1,[::1]", "argument --xds: got '[::1]'", id="one of several"
        ),
        pytest.param("up --xds-port 70000", "want a number from 0 to 65535", id="a high port"),
        pytest.param("up --runtime a=0", "want SERVICE or SERVICE=N", id="no process"),
        pytest.param("up --runtime a --runtime a=2", "given twice", id="a service twice"),
        pytest.param("up --log-level LOUD", "invalid choice: 'LOUD'", id="an unknown level"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.split())
    assert message in str(caught.value)


def test_a_usage_error_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["frob"]) == cli.USAGE
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err[:7]) == ("", 1, "error: ")


def test_a_missing_file_is_told_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", "p", "/no/such/file"]) == cli.FAILED
    assert capsys.readouterr().err == "error: /no/such/file: no such file or directory\n"


@pytest.mark.parametrize(
    "noun", ["pipelines list", "models list", "services list", "predict p /dev/null"]
)
def test_an_absent_peer_is_code_3_and_names_the_way_out(
    noun: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = {"models list": "--repository", "predict p /dev/null": "--gateway"}.get(
        noun, "--manager"
    )
    assert cli.main([*noun.split(), flag, "127.0.0.1:1"]) == cli.UNREACHABLE
    err = capsys.readouterr().err
    assert "answers at 127.0.0.1:1; start it with `hydro up`" in err


def test_a_bug_is_told_without_its_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYDRO_DEBUG", raising=False)
    monkeypatch.setattr(predict, "predict", lambda *_: 1 / 0)
    assert cli.main(["predict", "p"]) == cli.FAILED
    err = capsys.readouterr().err
    assert err.startswith("error: this is a bug (ZeroDivisionError")
    assert "Traceback" not in err


@pytest.mark.parametrize("noun", SUMMARIES)
def test_every_command_has_help_with_two_examples(
    noun: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib

    for command in importlib.import_module(f"hydro_services.cli.{noun}").COMMANDS:
        with pytest.raises(SystemExit) as caught:
            cli.main([*command.name.split(), "--help"])
        assert caught.value.code == 0
        shown = capsys.readouterr().out
        assert len(command.examples) >= 2
        assert all(example in shown for example in command.examples)
        assert "--json" in shown


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"hydro {version('hydro-serving')}\n"


@pytest.mark.parametrize("words", [["--help"], ["predict", "--help"], ["pipelines", "--help"]])
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from hydro_services.cli import main\n"
        "try: main.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'sklearn', 'pyarrow', 'envoy_data_plane'} & sys.modules.keys()\n"
        "heavy |= {name for name in sys.modules if name.startswith('hydro_envoy.')}\n"
        "heavy -= {'hydro_envoy.address'}\n"  # which options are
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    path = ":".join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={"PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
