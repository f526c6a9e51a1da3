import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from hydro_runtimes.columns import Columns, Dense, Strings
from hydro_runtimes.errors import InvalidModel, UntrustedModel
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import describe, load
from hydro_runtimes.model_formats import detect_format

METADATA = {
    "model": "m",
    "inputs": [{"name": "x", "type": "float64"}],
    "outputs": [{"name": "y", "type": "float64"}],
}
MODEL = """
from . import other
class Model:
    def __init__(self, folder):
        self.weight = float((folder / "weight").read_text())
    def evaluate(self, columns):
        return {"y": other.twice(columns["x"]) * self.weight}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "metadata.json").write_text(json.dumps(METADATA))
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "other.py").write_text("def twice(x):\n    return 2 * x\n")
    (tmp_path / "weight").write_text("5")
    return tmp_path


def test_a_trusted_module_runs_with_those_beside_it(folder: Path) -> None:
    model = load(folder, {digest_folder(folder)})
    answer = model.evaluate(Columns({"x": Dense(np.array([1.0, 2.0]))}))
    column = answer.outputs["y"]
    assert isinstance(column, Dense)
    assert column.values.tolist() == [10.0, 20.0]


def test_code_that_is_not_trusted_does_not_run(folder: Path) -> None:
    (folder / "model.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UntrustedModel, match=digest_folder(folder)):
        load(folder, {"0" * 64})


def test_a_signature_needs_no_trust(folder: Path) -> None:
    assert [field.name for field in describe(folder)[0].inputs] == ["x"]


def test_a_cached_module_that_the_digest_does_not_cover_does_not_run(folder: Path) -> None:
    import importlib.util
    import py_compile

    trusted = digest_folder(folder)
    real = folder / "other.py"
    stat = real.stat()
    fake = folder / "fake.py"
    fake.write_text("def twice(x):\n    return 9 * x\n")
    cached = importlib.util.cache_from_source(str(real))
    py_compile.compile(str(fake), cached, doraise=True)
    data = bytearray(Path(cached).read_bytes())
    data[8:12] = int(stat.st_mtime).to_bytes(4, "little")
    data[12:16] = stat.st_size.to_bytes(4, "little")
    Path(cached).write_bytes(data)
    fake.unlink()
    answer = load(folder, {trusted}).evaluate(Columns({"x": Dense(np.array([1.0]))}))
    column = answer.outputs["y"]
    assert isinstance(column, Dense)
    assert column.values.tolist() == [10.0]


def test_two_models_of_the_same_names_do_not_meet(folder: Path, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    second = tmp_path_factory.mktemp("second")
    for path in folder.iterdir():
        (second / path.name).write_bytes(path.read_bytes())
    (second / "other.py").write_text("def twice(x):\n    return 3 * x\n")
    models = [load(path, {digest_folder(path)}) for path in (folder, second)]
    x = Columns({"x": Dense(np.array([1.0]))})
    answers = [model.evaluate(x).outputs["y"].values.tolist() for model in models]  # type: ignore[union-attr]
    assert answers == [[10.0], [15.0]]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("{'y': [1.0]}", "has 1 rows, want 2"),
        ("{'y': ['a', 'b']}", "want float64"),
        ("{'y': [[1.0], [2.0]]}", r"shape \(1,\), want \(\)"),
        ("{'y': [None, 1.0]}", "null in row 0"),
        ("[1]", "want a dict"),
        ("{'y': 1}", "want an array"),
    ],
)
def test_an_answer_that_is_not_as_declared_is_refused(
    folder: Path, answer: str, message: str
) -> None:
    text = f"class Model:\n  def __init__(self, f): ...\n  def evaluate(self, c): return {answer}\n"
    (folder / "model.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        load(folder, {digest_folder(folder)}).evaluate(Columns({"x": Dense(np.array([1.0, 2.0]))}))


def test_a_row_with_null_where_none_may_be_fails_alone(folder: Path) -> None:
    x = Dense(np.array([1.0, 0.0, 3.0]), np.array([True, False, True]))
    answer = load(folder, {digest_folder(folder)}).evaluate(Columns({"x": x}))
    assert set(answer.failures) == {1}
    assert answer.outputs["y"].values.tolist() == [10.0, 30.0]  # type: ignore[union-attr]


def test_a_module_without_the_class_is_refused(folder: Path) -> None:
    (folder / "model.py").write_text("x = 1\n")
    with pytest.raises(InvalidModel, match="no class 'Model'"):
        load(folder, {digest_folder(folder)})


def test_a_pickle_runs_only_where_trusted(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    estimator = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(estimator))
    outputs = [{"name": "prediction", "type": "float64"}]
    (tmp_path / "metadata.json").write_text(json.dumps({**METADATA, "outputs": outputs}))
    assert detect_format(tmp_path).name == "pickle"
    with pytest.raises(UntrustedModel, match="runs code"):
        load(tmp_path)
    answer = load(tmp_path, {digest_folder(tmp_path)}).evaluate(
        Columns({"x": Dense(np.array([3.0]))})
    )
    assert answer.outputs["prediction"].values.tolist() == pytest.approx([6.0])  # type: ignore[union-attr]


def test_a_folder_without_a_model_tells_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidModel, match=r"found notes\.txt; want a saved Spark model"):
        detect_format(tmp_path)


def test_texts_are_given_and_taken_as_lists(folder: Path) -> None:
    (folder / "metadata.json").write_text(
        json.dumps(
            {
                "model": "m",
                "inputs": [{"name": "t", "type": "string", "nullable": True}],
                "outputs": [{"name": "u", "type": "string", "nullable": True}],
            }
        )
    )
    (folder / "model.py").write_text(
        "class Model:\n  def __init__(self, f): ...\n"
        "  def evaluate(self, c): return {'u': [t and t.upper() for t in c['t']]}\n"
    )
    given = Strings(["a", ""], np.array([True, False]))
    column = load(folder, {digest_folder(folder)}).evaluate(Columns({"t": given})).outputs["u"]
    assert isinstance(column, Strings)
    assert list(column.values) == ["A", ""]
    assert column.validity is not None
    assert column.validity.tolist() == [True, False]
