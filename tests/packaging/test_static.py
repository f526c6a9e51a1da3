"""What Dockerfile, compose file, manifests, units and package say, by the tools of each."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packages import built, debian_packages
from whole_mesh import ROOT

from hydro_services.cli.parser import parse

pytestmark = pytest.mark.packaging

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "packages/systemd").glob("*.service"))
KUSTOMIZATIONS = ("base", "overlays/demo")
PORTS = {
    8080: "127.0.0.1",
    8083: "0.0.0.0",
    8087: "127.0.0.1",
    8500: "127.0.0.1",
    9411: "127.0.0.1",
}


def ran(*command: str, cwd: Path = ROOT) -> str:
    """What a command printed; fails with that if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def accepts(words: list[str]) -> None:
    """The command `hydro` knows these words, in which variables stand for what a user has."""
    words = [re.sub(r"\$(\(\w+\)|\{\w+\}|\w+)", "10.0.0.1", word) for word in words]
    parse([re.sub(r"^/run/secrets/.*", os.devnull, word) for word in words])


def test_lintian_finds_nothing_in_the_package(tmp_path: Path) -> None:
    debian_packages("lintian")
    package = built(tmp_path, "--no-deps")
    assert ran("lintian", "--allow-root", "--fail-on", "error,warning", str(package)) == ""


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert ran("hadolint", "deploy/docker/Dockerfile") == ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_commands_that_there_are(unit: Path) -> None:
    [line] = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    words = shlex.split(line)
    if words[:2] == ["/bin/sh", "-c"]:
        words = shlex.split(words[2].removeprefix("exec "))
    assert words[0] == "/usr/bin/hydro"
    accepts([word for word in words[1:] if not word.endswith("_OPTIONS")])


def test_options_in_the_environment_file_are_those_of_the_parts() -> None:
    """Each variable is told of by some part's help, or is for more words of one's command line."""
    text = (DEPLOY / "packages/hydro.env").read_text()
    units = "".join(unit.read_text() for unit in UNITS)
    helps = units + "".join(
        ran("hydro", part, "--help")
        for part in ("manager", "repository", "runtime", "gateway", "sidecar")
    )
    names = re.findall(r"^#?(HYDRO_\w+)=", text, re.MULTILINE)
    assert names
    assert [name for name in names if name not in helps] == []


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The services as Compose understands the file."""
    debian_packages("docker-compose")
    text = ran("docker-compose", "-f", "deploy/compose.yaml", "config")
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def test_compose_has_the_services_and_publishes_their_ports(compose: dict[str, Any]) -> None:
    parts = {"manager", "gateway", "repository"}
    runtimes = {"serving-scikit", "serving-customscikit", "serving-localml-spark"}
    assert compose.keys() == {"mesh", "consul", "zipkin"} | parts | runtimes
    published = [port for service in compose.values() for port in service.get("ports", [])]
    assert dict(map(_published, published)) == PORTS
    for name in parts | runtimes:
        service = compose[name]
        accepts(_words(service["command"]))
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["healthcheck"]["test"][0] == "CMD"
        assert "condition" in next(iter(service["depends_on"].values()))


def _published(port: str | dict[str, Any]) -> tuple[int, str]:
    """Port and address, from Compose's short form or its long one."""
    if isinstance(port, dict):
        return int(port["published"]), port.get("host_ip", "0.0.0.0")
    host, _, rest = port.removesuffix("/tcp").rpartition(":")
    address, _, number = host.rpartition(":")
    assert rest == number
    return int(number), address or "0.0.0.0"


def _words(command: str | list[str]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else command


@pytest.fixture(scope="module", params=KUSTOMIZATIONS)
def manifests(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What kustomize makes."""
    file = tmp_path_factory.mktemp("manifests") / "all.yaml"
    file.write_text(ran("kubectl", "kustomize", f"deploy/kubernetes/{request.param}"))
    return file


def test_manifests_are_valid(manifests: Path) -> None:
    ran("kubernetes-validate", "--strict", "--quiet", str(manifests))


def test_pods_have_no_rights_and_start_commands_that_there_are(manifests: Path) -> None:
    containers = list(_containers(manifests))
    assert len(containers) == 11  # a gateway; five parts with sidecars
    for container in containers:
        accepts(container["args"])
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        writable = {mount["mountPath"] for mount in container["volumeMounts"]}
        folders = [word.partition("=")[2] for word in container["args"] if _is_folder(word)]
        assert all(any(f.startswith(w) for w in writable) for f in folders), (folders, writable)


def _is_folder(word: str) -> bool:
    return word.startswith(("--data=", "--cache="))


def _containers(manifests: Path) -> Iterator[dict[str, Any]]:
    for each in yaml.safe_load_all(manifests.read_text()):
        if each["kind"] in ("Deployment", "StatefulSet"):
            pod = each["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"]
            assert not pod["automountServiceAccountToken"]
            yield from pod.get("initContainers", []) + pod["containers"]


def test_the_demo_trusts_the_model_of_the_demo() -> None:
    demo = (DEPLOY / "kubernetes/overlays/demo/kustomization.yaml").read_text()
    assert (ROOT / "models/trusted.txt").read_text().strip() in demo


KUBECTL = """#!/bin/sh
# Runs in place of the cluster what is to run there, and notes the secrets.
case "$*" in
  *exec*) while [ "$1" != -- ]; do shift; done; shift; exec "$@" ;;
  *create*) cat >"$SECRETS/$(echo "$*" | sed 's/.*generic \\([^ ]*\\) .*/\\1/')" ;;
esac
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `kubectl` for `invite`; the folder gets what it makes secrets of."""
    programs, secrets = tmp_path / "bin", tmp_path / "secrets"
    programs.mkdir()
    secrets.mkdir()
    (programs / "kubectl").write_text(KUBECTL)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("SECRETS", str(secrets))
    return secrets


def invited(kubectl: Path, hydro: str) -> tuple[int, dict[str, str]]:
    """The exit code of `invite gateway` and the secrets, where `hydro` does this."""
    programs = kubectl.parent / "bin"
    (programs / "hydro").write_text(f"#!/bin/sh\n{hydro}\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    done = subprocess.run([DEPLOY / "kubernetes/invite", "gateway"], capture_output=True, text=True)
    return done.returncode, {each.name: each.read_text() for each in kubectl.iterdir()}


def test_an_invitation_becomes_a_secret(kubectl: Path) -> None:
    writes = 'while [ "$1" != --out ]; do shift; done; echo \'{"invitation": "x"}\' >"$2"'
    assert invited(kubectl, writes) == (0, {"join-gateway": '{"invitation": "x"}\n'})


@pytest.mark.parametrize("hydro", ["exit 1", "exit 0", "kill -9 $$"])
def test_no_secret_is_made_of_an_invitation_that_failed(kubectl: Path, hydro: str) -> None:
    code, secrets = invited(kubectl, hydro)
    assert (code != 0, secrets) == (True, {})


SHELLS = {
    "bash": """eval "$(hydro completion bash)"
COMP_WORDS=(hydro pipelines g); COMP_CWORD=2; _hydro; echo "${COMPREPLY[@]}"
COMP_WORDS=(hydro up --access ''); COMP_CWORD=3; _hydro; echo "${COMPREPLY[@]}" """,
    "fish": """hydro completion fish | source
complete -C 'hydro pipelines g' | cut -f1
complete -C 'hydro up --access ' | string join ' '""",
    "zsh": """compdef() { }
eval "$(hydro completion zsh)"
_describe() { print -r -- "${(P@)2%%:*}" }
words=(hydro pipelines g); CURRENT=3; _hydro
words=(hydro up --access ''); CURRENT=4; _hydro""",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_verbs_and_values(shell: str) -> None:
    debian_packages(shell)
    assert ran(shell, "-c", SHELLS[shell]) == "get\nanyone keys\n"
