from __future__ import annotations

import io
import json

import pytest

from hydro_services.cli import render
from hydro_services.cli.output import Output
from hydro_services.cli.row_table import RowTable, fit_widths


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_has_a_heading_for_a_person_only() -> None:
    for out, heading in ((Terminal(), "NAME  STATE\n"), (io.StringIO(), "")):
        Output(out=out).table(("name", "state"), [("a", "ready"), ("bcd", "failed")])
        rows = "a     ready\nbcd   failed\n" if heading else "a    ready\nbcd  failed\n"
        assert out.getvalue() == heading + rows


@pytest.mark.parametrize("odd", ["a\x1b[2Jb", "a\nb\rb", "a\x9bb", "a\u2028b", "a\x00b"])
def test_what_others_named_moves_no_cursor(odd: str) -> None:
    out, err = Terminal(), io.StringIO()
    Output(out=out).table(("name",), [(odd,)])
    table = RowTable(Output(out=out, err=err))
    table.write([{odd: odd, "list": [odd], "object": {odd: odd}}, {"error": {"message": odd}}])
    shown = out.getvalue() + err.getvalue()
    assert shown.isascii()
    assert all(each.isprintable() or each == "\n" for each in shown)
    assert shown.count("\n") == 5


def test_json_is_a_line_for_a_program_and_indented_for_a_person() -> None:
    for out, lines in ((Terminal(), 3), (io.StringIO(), 1)):
        Output(out=out).value({"é": 1})
        assert out.getvalue().count("\n") == lines
        assert json.loads(out.getvalue()) == {"é": 1}


def test_rows_that_come_later_keep_the_columns_of_the_first() -> None:
    out = io.StringIO()
    table = RowTable(Output(out=out))
    table.write([{"a": 1.0, "b": "text"}])
    table.write([{"a": 0.123456, "b": None, "c": 1}])
    assert out.getvalue().splitlines() == ["row  a  b", "0    1  text", "1    …"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (0.98765, "0.9877"),
        (True, "true"),
        ([0.5, 1.0], "[0.5, 1]"),
        ("two\nlines", "two lines"),
        ({"type": "sparse"}, '{"type": "sparse"}'),
        ("x" * 50, "x" * 39 + "…"),
    ],
)
def test_a_cell_is_short(value: object, cell: str) -> None:
    out = io.StringIO()
    RowTable(Output(out=out), ["v"]).write([{"v": value}])
    assert out.getvalue().splitlines()[1] == f"0    {cell}"


def test_the_widest_columns_give_way() -> None:
    assert fit_widths([3, 40, 20], 33) == [3, 15, 15]
    assert fit_widths([40, 40], 2) == [6, 6]


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB")]
)
def test_a_size_is_told_in_its_unit(size_bytes: int, text: str) -> None:
    assert render.size_text(size_bytes) == text
