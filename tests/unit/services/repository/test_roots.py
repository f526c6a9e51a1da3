"""Roots by their texts: credentials are refused, and shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_services.repository.roots import SCHEMES, Root, make_labels, make_names, parse_roots

PASSWORDS = st.text(min_size=6, max_size=20).filter(lambda text: not text.isspace())


@pytest.mark.parametrize(
    ("text", "scheme", "place"),
    [
        pytest.param("models", "", "", id="folder"),
        pytest.param("./s3/models", "", "", id="folder of any name"),
        pytest.param("s3://bucket/some/prefix/", "s3", "bucket/some/prefix", id="s3"),
        pytest.param("S3://bucket", "s3", "bucket", id="capitals"),
        pytest.param("gs://bucket.of.mine/p", "gs", "bucket.of.mine/p", id="gs"),
        pytest.param("az://container/p", "az", "container/p", id="az"),
        pytest.param(
            "hf://org/model@v1.0/some/prefix", "hf", "org/model@v1.0/some/prefix", id="hf"
        ),
        pytest.param("oci://[::1]:5000/a/b:1.0", "oci", "[::1]:5000/a/b:1.0", id="oci"),
        pytest.param("models:/double/Production", "models", "double/Production", id="stage"),
        pytest.param("models:/double@champion", "models", "double@champion", id="alias"),
    ],
)
def test_a_root_is_a_folder_or_a_store(text: str, scheme: str, place: str) -> None:
    root = Root.parse(text)
    assert root.scheme == scheme
    if scheme:
        assert root.place == place


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("", "got nothing", id="nothing"),
        pytest.param("http://host/models", "of 'http', want a folder or one of", id="http"),
        pytest.param("hf://model", "not understood, want hf://ORG/NAME", id="no organization"),
        pytest.param("oci://host", "not understood, want oci://HOST", id="no repository"),
        pytest.param("models:/", "not understood, want models:/NAME", id="no model"),
        pytest.param("s3://", "not understood, want s3://BUCKET/PREFIX", id="no bucket"),
        pytest.param("s3:///x", "not understood", id="empty bucket"),
        pytest.param("az://c/p?sig=abcdef", "with a user or a query", id="signed"),
    ],
)
def test_what_is_no_root_is_told(text: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        Root.parse(text)


@given(st.sampled_from(sorted(SCHEMES)), PASSWORDS)
def test_credentials_in_an_url_are_refused_and_not_shown(scheme: str, password: str) -> None:
    for text in (
        f"{scheme}://reader:{password}@bucket/prefix",
        f"{scheme}://reader:{password}@bucket:80/prefix",
        f"{scheme}://bucket/prefix?key={password}",
    ):
        told = what_is_told(text)
        assert password not in told
        assert "reader" not in told


def what_is_told(text: str) -> str:
    """The error, or else the roots that are taken."""
    try:
        return " ".join(root.text for root in parse_roots(text))
    except ValueError as error:
        return str(error)


def test_a_store_whose_library_is_missing_tells_what_to_install(tmp_path: Path) -> None:
    told = Root.parse("s3://bucket").find_fault(lambda module: False)
    assert told == (
        "s3://bucket needs s3fs, which is not installed; pip install 'hydro-serving[s3]'"
    )
    assert Root.parse("s3://bucket").find_fault(lambda module: True) == ""
    assert Root(str(tmp_path)).find_fault(lambda module: False) == ""
    assert "no folder" in Root(str(tmp_path / "none")).find_fault(lambda module: True)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("s3://bucket/some/double", "double", id="s3"),
        pytest.param("hf://org/double@main", "double", id="hf"),
        pytest.param("hf://org/name@main/sub/double", "double", id="prefix"),
        pytest.param("oci://host:5000/team/double:v1", "double", id="tag"),
        pytest.param("oci://host/double@sha256:00ff", "double", id="digest"),
        pytest.param("models:/double", "double", id="mlflow"),
    ],
)
def test_a_root_that_is_a_model_has_a_name(text: str, name: str) -> None:
    assert Root.parse(text).name == name


def test_labels_tell_several_roots_apart() -> None:
    folder, store = Root.parse("models/"), Root.parse("s3://bucket/p/")
    assert (make_labels((folder,)), make_names((folder,))) == (("",), ("",))
    assert (make_labels((store,)), make_names((store,))) == (("",), ("s3://bucket/p",))
    assert make_labels((folder, store)) == ("models", "s3://bucket/p")
