"""What `hydro deploy` reads of a real store of objects."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import store_servers
from store_servers import REGION, SECRET_KEY

from hydro_services.deployment.source import open_source, parse_root
from hydro_services.errors import (
    FailedPrecondition,
    HydroError,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from hydro_services.repository.stores import open_store
from hydro_services.repository.stores.fsspec_stores import S3Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:Sending a large body"),  # where models are put
    pytest.mark.usefixtures("libraries_log"),
]

FILES = {"churn.joblib": b"joblib", "spark/metadata/part-0": b"{}", "spark/stages/a b": b"x"}


@pytest.fixture(autouse=True)
def loggers_stay() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in open_store._LOGGERS]
    before = [each.level for each in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with store_servers.moto(tmp_path_factory.mktemp("moto")) as port:
        yield port


@pytest.fixture
def bucket(port: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    store_servers.use_s3(monkeypatch, port)
    name = f"b{abs(hash(request.node.name))}"
    fs = S3Store(name)._fs()
    where = {"LocationConstraint": REGION}
    fs.call_s3("create_bucket", Bucket=name, CreateBucketConfiguration=where)
    for path, content in FILES.items():
        fs.pipe_file(f"{name}/team/{path}", content)
    return f"s3://{name}/team"


def test_a_file_is_copied(bucket: str) -> None:
    with open_source(f"{bucket}/churn.joblib") as source:
        assert (source.name, source.read_bytes()) == ("churn.joblib", b"joblib")
    assert not source.exists()


def test_a_folder_is_copied_with_all_below_it(bucket: str) -> None:
    with open_source(f"{bucket}/spark/") as source:
        copied = {
            f"spark/{path.relative_to(source)}": path.read_bytes()
            for path in source.rglob("*")
            if path.is_file()
        }
        assert source.name == "spark"
    assert copied == {path: data for path, data in FILES.items() if "spark" in path}


def test_what_is_not_there_is_told(bucket: str) -> None:
    with (
        pytest.raises(NotFound, match=r"nothing is at s3://.*/team/no\.pkl; want"),
        open_source(f"{bucket}/no.pkl"),
    ):
        pass


def test_a_store_that_takes_no_credentials_tells_none(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with (
        pytest.raises(Unavailable, match=f"^{bucket}/churn.joblib: ") as raised,
        open_source(f"{bucket}/churn.joblib"),
    ):
        pass
    assert SECRET_KEY not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "error", "told"),
    [
        ("ftp://x/y", InvalidArgument, "got a URL of 'ftp'"),
        ("s3://bucket", InvalidArgument, "is a whole store; want a file or a folder in it"),
        ("s3://key:secret@bucket/x", InvalidArgument, "credentials come from the environment"),
        ("nothing.pkl", NotFound, "no file or folder nothing.pkl"),
    ],
)
def test_what_is_no_source_is_refused(url: str, error: type[HydroError], told: str) -> None:
    with pytest.raises(error, match=told) as raised, open_source(url):
        pass
    assert "secret" not in str(raised.value)


def test_a_store_whose_library_is_missing_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(FailedPrecondition, match=r"pip install 'hydro-serving\[s3\]'"),
        open_source("s3://bucket/x"),
    ):
        pass


@pytest.mark.parametrize("url", ["hf://org/name", "oci://host/a:1", "models:/churn/1", "models:/c"])
def test_a_model_of_a_registry_is_one(url: str) -> None:
    assert parse_root(url).text == url


def test_a_path_is_itself(tmp_path: Path) -> None:
    with open_source(str(tmp_path)) as source:
        assert source == tmp_path
    assert tmp_path.exists()
