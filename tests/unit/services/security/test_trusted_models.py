from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hydro_services.security.trusted_models import add_line, read_trusted, remove_line

DIGESTS = [f"{number:064x}" for number in range(40)]


def test_a_digest_is_added_once_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "trusted.txt"
    assert add_line(file, DIGESTS[0], "a")
    assert not add_line(file, DIGESTS[0], "b")
    assert file.read_text() == f"{DIGESTS[0]}  a\n"
    remove_line(file, DIGESTS[1])
    remove_line(file, DIGESTS[0])
    assert read_trusted(file) == frozenset()


def test_comments_a_last_line_without_an_end_links_and_rights_stay(tmp_path: Path) -> None:
    file, link = tmp_path / "trusted.txt", tmp_path / "link.txt"
    file.write_text(f"# mine\n{DIGESTS[0]}  a")
    file.chmod(0o640)
    link.symlink_to(file)
    add_line(link, DIGESTS[1], "b")
    assert link.is_symlink()
    assert file.read_text() == f"# mine\n{DIGESTS[0]}  a\n{DIGESTS[1]}  b\n"
    assert file.stat().st_mode & 0o777 == 0o640


def test_nothing_is_lost_when_several_change_it_and_readers_see_whole_files(tmp_path: Path) -> None:
    file = tmp_path / "trusted.txt"
    add_line(file, "f" * 64, "stays")
    with ThreadPoolExecutor(8) as pool:
        adding = [pool.submit(add_line, file, digest, "m") for digest in DIGESTS]
        while not all(each.done() for each in adding):
            assert "f" * 64 in read_trusted(file)
        removing = [pool.submit(remove_line, file, digest) for digest in DIGESTS[::2]]
    assert all(each.result() for each in adding)
    assert all(each.result() is None for each in removing)
    assert read_trusted(file) == {"f" * 64, *DIGESTS[1::2]}
