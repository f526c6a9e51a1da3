"""Real servers of stores, each a process of an environment of its own; see scripts/stores."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from ports import HOST, free_ports

BIN = Path(__file__).resolve().parents[2] / ".venv" / "stores" / "bin"
ACCESS_KEY, SECRET_KEY = "a-reader-of-models", "the-secret-of-the-reader"
REGION = "eu-central-1"


def use_s3(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Has clients of S3 find the server at a port, whatever this machine knows of others."""
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)


@contextlib.contextmanager
def running(
    name: str, words: Sequence[str], port: int, folder: Path, path: str = "/"
) -> Iterator[int]:
    """The program with these words, once it answers HTTP at the port; killed at the end."""
    if not (BIN / name).exists():
        pytest.skip(f"no {name}; run scripts/stores")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        process = subprocess.Popen(
            [BIN / name, *words], stdout=log, stderr=log, cwd=folder, env=environment
        )
    try:
        _wait_for(process, f"http://{HOST}:{port}{path}", folder / "log")
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end_s = time.monotonic() + 90
    while time.monotonic() < end_s and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not answer: {log.read_text()[-2000:]}")


MANY = 10_000
"""Objects that moto has below `models/many` from the start: putting them takes minutes."""
_MOTO = f"""
import sys
from moto.s3.models import s3_backends
from moto.server import main
backend = s3_backends["123456789012"]["aws"]
backend.create_bucket("models", "{REGION}")
for number in range({MANY}):
    name = "model.skops" if number < 100 else f"data/{{number}}.bin"
    backend.put_object("models", f"many/scikit/m{{number % 100}}/{{name}}", b"x")
main(sys.argv[1:])
"""


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[int]:
    """S3 as moto has it: any credentials."""
    (port,) = free_ports(1)
    words = ["-c", _MOTO, "-H", HOST, "-p", str(port)]
    with running("python", words, port, folder) as started:
        yield started


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[int]:
    """S3 as SeaweedFS has it, which checks signatures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir()
    key = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    identity = {"name": "t", "credentials": [key], "actions": ["Admin", "Read", "List", "Write"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = [f"{part}.port{grpc}" for part in _PARTS for grpc in ("", ".grpc")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    words = [
        "server",
        f"-dir={folder}/data",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-master.electionTimeout=1s",
        "-volume.max=20",
        "-s3",
        "-s3.iam=false",
        f"-s3.config={folder}/s3.json",
        f"-filer.localSocket={folder}/filer.sock",
        *(f"-{name}={port}" for name, port in ports.items()),
        "-s3.port.iceberg=0",  # none
        "-s3.port.lance=0",
    ]
    with running("weed", words, ports["s3.port"], folder) as started:
        yield started


_PARTS = ("master", "volume", "filer", "s3")


@contextlib.contextmanager
def google(folder: Path) -> Iterator[int]:
    """Google Cloud Storage as gcp-storage-emulator has it."""
    (port,) = free_ports(1)
    words = ["start", f"--host={HOST}", f"--port={port}", "--in-memory"]
    with running("gcp-storage-emulator", words, port, folder) as started:
        yield started


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[int]:
    """A registry of containers: CNCF's Distribution."""
    port, debug = free_ports(2)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "registry.yml").write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '{HOST}:{port}', debug: {{addr: '{HOST}:{debug}'}}}}\n"
    )
    words = ["serve", f"{folder}/registry.yml"]
    with running("docker-registry", words, port, folder, "/v2/") as started:
        yield started
