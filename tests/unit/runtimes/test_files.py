import hashlib
from pathlib import Path

import pytest

from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.files import digest_folder, list_files


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_files_are_listed_by_path_with_size_and_digest(tmp_path: Path) -> None:
    write(tmp_path, b_txt="two", a__c_txt="three")
    listed = list_files(tmp_path)
    assert [file.path for file in listed] == ["a/c.txt", "b.txt"]
    assert [file.size_bytes for file in listed] == [5, 3]
    assert listed[1].sha256 == hashlib.sha256(b"two").hexdigest()


def test_digest_is_the_hash_of_the_lines_of_hash_and_path(tmp_path: Path) -> None:
    write(tmp_path, a_txt="one")
    line = f"{hashlib.sha256(b'one').hexdigest()}  a.txt\n"
    assert digest_folder(tmp_path) == hashlib.sha256(line.encode()).hexdigest()


def test_hidden_names_and_caches_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, a_txt="one")
    before = digest_folder(tmp_path)
    (tmp_path / ".a.crc").write_text("x")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert digest_folder(tmp_path) == before
    (tmp_path / "_SUCCESS").touch()
    assert digest_folder(tmp_path) != before


@pytest.mark.parametrize("target", ["../secret", "/etc/hostname", ".."], ids=str)
def test_links_out_of_the_folder_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_text("s")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(target)
    with pytest.raises(InvalidModel, match="link 'link' leads out"):
        list_files(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="no such folder"):
        list_files(tmp_path / "none")
