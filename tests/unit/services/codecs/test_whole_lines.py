"""Text in pieces is the same lines as text in one."""

from hypothesis import given
from hypothesis import strategies as st

from hydro_services.codecs.whole_lines import LineCutter, split_lines

PIECES = st.lists(st.text("ab\n \r", max_size=5).map(str.encode))


@given(PIECES)
def test_lines_leave_whole_and_in_order(pieces: list[bytes]) -> None:
    cutter = LineCutter()
    cut = [cutter.feed(piece) for piece in pieces]
    held, last = cutter.held_bytes, cutter.end()
    assert all(lines == b"" or lines.endswith(b"\n") for lines in cut)
    assert b"".join([*cut, last]) == b"".join(pieces)
    assert b"\n" not in last
    assert held == len(last)
    assert cutter.held_bytes == 0


def test_blank_lines_are_none() -> None:
    assert split_lines(b"a\n\n \r\nb\r\n c") == [b"a", b"b\r", b" c"]
