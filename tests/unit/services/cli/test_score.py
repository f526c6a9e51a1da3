from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.parity.saves import save_stage

from hydro_runtimes.columns import Columns, DataType, Dense
from hydro_runtimes.evaluator import Evaluation, Field, Signature
from hydro_services.cli import main as cli
from hydro_services.cli import row_input, score
from hydro_services.runtime import scoring

pytestmark = pytest.mark.usefixtures("own_logging")

MODEL = """
class Model:
    def __init__(self, folder):
        pass

    def evaluate(self, columns):
        x = columns["x"]
        if (x == 13).any():
            raise RuntimeError("thirteen")
        return {"y": x / 0.1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that divides x by 0.1, and raises where x is 13."""
    folder = tmp_path / "tenfold"
    folder.mkdir()
    (folder / "model.py").write_text(MODEL)
    fields = {
        "inputs": [{"name": "x", "type": "float64"}],
        "outputs": [{"name": "y", "type": "float64"}],
    }
    (folder / "metadata.json").write_text(json.dumps({"model": "tenfold", **fields}))
    return folder


def answers(folder: Path, rows: str, capsys: pytest.CaptureFixture[str]) -> list[object]:
    file = folder.parent / "rows"
    file.write_text(rows)
    assert cli.main(["score", str(folder), str(file), "--trust"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    "rows",
    ['{"x": 1, "id": "a"}\n{"x": 2, "id": "b"}', '[{"x": 1, "id": "a"}, {"x": 2, "id": "b"}]'],
)
def test_lines_and_an_array_are_answered_by_lines_with_all_columns(
    folder: Path, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answers(folder, rows, capsys) == [
        {"x": 1.0, "id": "a", "y": 10.0},
        {"x": 2.0, "id": "b", "y": 20.0},
    ]


def test_doubles_come_out_as_they_are_and_specials_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "\n".join(
        f'{{"x": {x}}}' for x in ("0.3", '"NaN"', '"Infinity"', '"-Infinity"', "1e-300")
    )
    found = [row["y"] for row in answers(folder, rows, capsys)]  # type: ignore[index]
    assert found == [0.3 / 0.1, "NaN", "Infinity", "-Infinity", 1e-300 / 0.1]
    assert math.isfinite(found[0])


def test_each_failed_row_is_answered_in_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = '{"x": 1}\n{"z": 1}\nnonsense\n{"x": "a"}\n{"x": 13}\n{"x": 2}\n'
    found = answers(folder, rows, capsys)
    errors = [row.get("error") for row in found]  # type: ignore[attr-defined]
    assert [bool(error) for error in errors] == [False, True, True, True, True, False]
    assert errors[1]["column"] == "x"
    assert "malformed JSON" in errors[2]["message"]
    assert (
        errors[3]["message"] == "column 'x': got 'a', want a number" or errors[3]["column"] == "x"
    )
    assert (errors[4]["status"], errors[4]["reason"]) == ("INTERNAL", "MODEL_FAILED")


def test_code_of_a_model_runs_only_where_it_is_trusted(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows, file = tmp_path / "rows", tmp_path / "trusted.txt"
    rows.write_text('{"x": 1}')
    assert cli.main(["score", str(folder), str(rows)]) == 1
    assert "pass --trust, or --trusted FILE" in capsys.readouterr().err
    assert cli.main(["models", "trust", str(folder), "--file", str(file)]) == 0
    assert cli.main(["models", "trust", str(folder), "--file", str(file)]) == 0
    assert file.read_text().count("tenfold") == 1
    assert cli.main(["score", str(folder), str(rows), "--trusted", str(file)]) == 0


def test_a_folder_without_a_model_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["score", str(tmp_path), "/dev/null"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: no model here")


def test_a_row_that_brings_a_column_of_the_model_fails_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = answers(folder, '{"x": 1, "y": 2}\n{"x": 1, "z": 3}\n', capsys)
    assert isinstance(first, dict)
    assert first["error"]["reason"] == "COLUMN_EXISTS"
    assert second == {"x": 1.0, "z": 3, "y": 10.0}


def test_batches_come_before_the_input_ends() -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"x": 1}\n{"x'
        raise AssertionError("the first batch needs no more")

    assert next(score.read_batches(pieces())) == [{"x": 1}]


def test_a_batch_has_a_thousand_rows_at_most() -> None:
    sizes = [len(batch) for batch in score.read_batches(iter([b'{"x": 1}\n' * 2500]))]
    assert sizes == [1000, 1000, 500]


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([b"a\nb\n"], [b"a", b"b"], id="whole lines"),
        pytest.param([b"a", b"b\nc", b"d"], [b"ab", b"cd"], id="lines over pieces"),
        pytest.param([b"\n \na\n\n"], [b"a"], id="blank lines"),
    ],
)
def test_lines_are_whole_whatever_the_pieces(pieces: list[bytes], lines: list[bytes]) -> None:
    assert [line for some in row_input.whole_lines(pieces) for line in some] == lines


class EachItsOwnSize:
    """Answers one row at a time with a vector as long as x is large."""

    signature = Signature((Field("x", DataType.INT64),), (Field("y", DataType.FLOAT64, (-1,)),))

    def evaluate(self, columns: Columns) -> Evaluation:
        x = columns["x"]
        assert isinstance(x, Dense)
        if len(x.values) > 1:
            raise ValueError("vectors differ in size")
        return Evaluation({"y": Dense(np.full((1, int(x.values[0])), 0.5))})


def test_rows_that_do_not_fit_into_common_columns_are_scored_apart() -> None:
    found, failed = scoring.score_rows(EachItsOwnSize(), [{"x": 1}, {"x": 2}, {"z": 0}, {"x": 3}])
    assert failed == 1
    assert [row and row.get("y") for row in found] == [[0.5], [0.5] * 2, None, [0.5] * 3]


def test_what_a_model_prints_is_not_among_the_answers(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = MODEL.replace("x = columns", "print('noise'); x = columns").replace(
        'RuntimeError("thirteen")', "KeyboardInterrupt"
    )
    (folder / "model.py").write_text(text)
    file = tmp_path / "rows"
    file.write_text('{"x": 1.0}\n{"x": 13.0}\n')
    assert cli.main(["score", str(folder), str(file), "--trust"]) == 0
    out, err = capsys.readouterr()
    well, failed = map(json.loads, out.splitlines())
    assert well["y"] == 10.0
    assert failed["error"]["reason"] == "MODEL_FAILED"
    assert "noise" in err


def test_streams_that_the_caller_has_closed_cost_nothing(folder: Path) -> None:
    file = folder.parent / "rows"
    file.write_text('{"x": 1}\n')
    hydro = f"{sys.executable} -m hydro_services.cli.main"
    done = subprocess.run(
        ["sh", "-c", f"exec {hydro} score {folder} {file} --trust <&- 2>&-"],
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, {"x": 1.0, "y": 10.0})


def test_an_output_takes_the_place_of_a_column_that_differs_in_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = {"inputCol": "x", "outputCol": "Size", "threshold": 1.0}
    folder = save_stage(tmp_path / "m", "feature.Binarizer", params, version="4.3.0")
    rows = '{"x": 2.0, "SIZE": "large", "id": 7}'
    assert answers(folder, rows, capsys) == [{"x": 2.0, "id": 7, "Size": 1.0}]
