"""What a model imports is its own, whoever else has modules of the same names."""

import gc
import importlib
import json
import pickle
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from hydro_runtimes.columns import Columns, Dense
from hydro_runtimes.errors import InvalidModel, UntrustedModel
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load

METADATA = {
    "model": "m",
    "inputs": [{"name": "x", "type": "float64"}],
    "outputs": [{"name": "y", "type": "float64"}],
}


def folder_of(path: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in {"metadata.json": json.dumps(METADATA), **files}.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            target.write_text(textwrap.dedent(content))
    return path


def opened(path: Path) -> Evaluator:
    return load(path, {digest_folder(path)})


def answer(model: Evaluator, name: str = "y") -> float:
    column = model.evaluate(Columns({"x": Dense(np.array([1.0]))})).outputs[name]
    assert isinstance(column, Dense)
    return float(column.values[0])


def model_of(before: str, value: str) -> str:
    """A module whose model evaluates an expression, after some statements in `evaluate`."""
    return (
        "class Model:\n"
        "    def __init__(self, folder): self.folder = folder\n"
        "    def evaluate(self, columns):\n"
        + textwrap.indent(textwrap.dedent(before), "        ")
        + f"\n        return {{'y': [float({value})] * len(columns['x'])}}\n"
    )


HELPER = "import dataclasses\nVALUE = {0}\n@dataclasses.dataclass\nclass Box:\n    n: int = {0}\n"
WAYS = {
    "statement": ("import helper", "helper.VALUE"),
    "from": ("from helper import VALUE as v", "v"),
    "relative": ("from . import helper", "helper.VALUE"),
    "package": ("import pack.inner.leaf", "pack.inner.leaf.VALUE"),
    "package as": ("import pack.inner.leaf as leaf", "leaf.VALUE"),
    "star of a package": ("from pack import inner", "inner.leaf.VALUE"),
    "folder without __init__": ("import space.leaf", "space.leaf.VALUE"),
    "by a function": ("import importlib\nh = importlib.import_module('helper')", "h.VALUE"),
    "by a function, deep": (
        "import importlib\nh = importlib.import_module('pack.inner.leaf')",
        "h.VALUE",
    ),
    "__import__": ("h = __import__('helper')", "h.VALUE"),
    "a pickle": ("import pickle\nb = pickle.loads(b'chelper\\nBox\\n(tR.')", "b.n"),
    "a pickle in Python": (
        "import io, pickle\nb = pickle._Unpickler(io.BytesIO(b'chelper\\nBox\\n(tR.')).load()",
        "b.n",
    ),
    "a copy by pickle": (
        "import copy, pickle, helper\nb = pickle.loads(pickle.dumps(helper.Box()))",
        "b.n",
    ),
    "a thread": (
        """
        import threading
        found = []
        def run():
            import helper
            found.append(helper.VALUE)
        t = threading.Thread(target=run); t.start(); t.join()
        """,
        "found[0]",
    ),
    "a thread that asks by name": (
        """
        import concurrent.futures, importlib
        def run(): return importlib.import_module('helper').VALUE
        with concurrent.futures.ThreadPoolExecutor(1) as pool: v = pool.submit(run).result()
        """,
        "v",
    ),
    "sys.modules of a class": (
        "import sys, helper\nm = sys.modules[helper.Box.__module__]",
        "m.VALUE",
    ),
    "type hints": ("import typing, hints", "typing.get_type_hints(hints.Hint)['box'].n"),
    "the source": ("import inspect, helper", "inspect.getsource(helper).split('=')[1].split()[0]"),
    "its folder on sys.path": (
        "import sys\nsys.path.insert(0, str(self.folder))\nimport helper",
        "helper.VALUE",
    ),
    "a folder in it on sys.path": (
        "import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), 'vendor'))\n"
        "import thirdparty",
        "thirdparty.VALUE",
    ),
    "exec": ("d = {}\nexec('import helper', d)", "d['helper'].VALUE"),
    "a file beside": (
        "import pathlib, helper",
        "pathlib.Path(helper.__file__).with_name('n').read_text()",
    ),
    "pkgutil": ("import pkgutil, pack", "pkgutil.get_data(pack.__name__, 'n').decode()"),
    "a library's name": ("import statistics", "statistics.VALUE"),
    "a module that imports others": ("import chain", "chain.value()"),
}


def way(number: int, name: str) -> dict[str, str]:
    helper = HELPER.format(number)
    return {
        "model.py": model_of(*WAYS[name]),
        "helper.py": helper,
        "pack/__init__.py": "",
        "pack/n": str(number),
        "pack/inner/__init__.py": "from . import leaf\nfrom .leaf import VALUE\n",
        "pack/inner/leaf.py": "from helper import VALUE\n",
        "space/leaf.py": f"VALUE = {number}\n",
        "hints.py": "from __future__ import annotations\nimport dataclasses, helper\n"
        "@dataclasses.dataclass\nclass Hint:\n    box: helper.Box\n",
        "vendor/thirdparty/__init__.py": f"VALUE = {number}\n",
        "statistics.py": f"VALUE = {number}\n",
        "chain.py": "def value():\n    import pack.inner.leaf as leaf\n    return leaf.VALUE\n",
        "n": str(number),
    }


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    yield
    gc.collect()
    own = ("model_", "helper", "pack", "space", "hints", "thirdparty", "chain")
    assert [name for name in set(sys.modules) - modules if name.startswith(own)] == []
    assert sys.path == path


@pytest.mark.parametrize("name", WAYS)
def test_each_model_finds_its_own(tmp_path: Path, name: str) -> None:
    models = [opened(folder_of(tmp_path / str(number), way(number, name))) for number in (1, 2, 3)]
    assert [answer(model) for model in (*models, *reversed(models))] == [1, 2, 3, 3, 2, 1]
    assert not list(tmp_path.rglob("__pycache__"))


def test_nobody_else_finds_it(tmp_path: Path) -> None:
    model = opened(folder_of(tmp_path, way(1, "a pickle")))
    assert answer(model) == 1
    alias = importlib.import_module("helper")  # is there for those who unpickle
    with pytest.raises(AttributeError, match="not imported by its code"):
        alias.VALUE  # noqa: B018
    import statistics

    assert statistics.mean([1, 3]) == 2


def test_two_versions_of_one_content_share_nothing(tmp_path: Path) -> None:
    files = {"model.py": model_of("import helper\nhelper.N += 1", "helper.N"), "helper.py": "N = 0"}
    first, second = (opened(folder_of(tmp_path / name, files)) for name in "ab")
    assert [answer(first), answer(first), answer(second)] == [1, 2, 1]


def test_a_file_that_changes_after_the_check_does_not_run(tmp_path: Path) -> None:
    files = {"model.py": model_of("import helper", "helper.N"), "helper.py": "N = 0"}
    model = opened(folder_of(tmp_path, files))
    (tmp_path / "helper.py").write_text("N = 9")
    with pytest.raises(ImportError, match=r"'helper.py' was changed after"):
        answer(model)
    (tmp_path / "late.py").write_text("N = 9")
    (tmp_path / "helper.py").write_text("N = 0")
    assert answer(model) == 0


def test_a_file_that_was_not_listed_does_not_run(tmp_path: Path) -> None:
    model = opened(folder_of(tmp_path, {"model.py": model_of("import late", "late.N")}))
    (tmp_path / "late.py").write_text("N = 9")
    with pytest.raises(ImportError, match="late"):
        answer(model)


def test_what_was_unloaded_imports_nothing(tmp_path: Path) -> None:
    files = {
        "model.py": "class Model:\n"
        "    def __init__(self, folder): ...\n"
        "    def evaluate(self, columns):\n"
        "        def late():\n"
        "            import helper\n"
        "        return {'y': [0.0], 'late': late}\n",
        "helper.py": "",
    }
    model = opened(folder_of(tmp_path, files))
    inner = model.model  # type: ignore[attr-defined]
    late = inner.evaluate({})["late"]
    late()
    del model
    with pytest.raises(ImportError, match="unloaded"):
        late()


PICKLED = {
    "metadata.json": json.dumps(
        {**METADATA, "outputs": [{"name": "prediction", "type": "float64"}]}
    )
}
ESTIMATOR = """
from sklearn.base import BaseEstimator, RegressorMixin
from {0} import VALUE
class Mine(RegressorMixin, BaseEstimator):
    def fit(self, X, y): return self
    def predict(self, X):
        from {0} import VALUE as late
        return [float(VALUE + late)] * len(X)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pkl", "joblib", "skops", "cloudpickle"])
@pytest.mark.parametrize("helper", ["helper", "sched"])
def test_an_estimator_of_an_own_class(tmp_path: Path, kind: str, helper: str) -> None:
    models = []
    for number in (1, 2):
        path = folder_of(
            tmp_path / str(number),
            {
                "own.py": ESTIMATOR.format(helper),
                f"{helper}.py": f"VALUE = {number}\n",
                **PICKLED,
            },
        )
        write = {
            "pkl": "import pickle; pickle.dump(own.Mine(), open('m.pkl', 'wb'))",
            "cloudpickle": "import cloudpickle as c; c.dump(own.Mine(), open('m.pkl', 'wb'))",
            "joblib": "import joblib; joblib.dump(own.Mine(), 'm.joblib', compress=3)",
            "skops": "import skops.io; skops.io.dump(own.Mine(), 'm.skops')",
        }[kind]
        command = [
            sys.executable,
            "-B",
            "-c",
            f"import sys; sys.path.insert(0, '.'); import own; {write}",
        ]
        subprocess.run(command, cwd=path, check=True)
        with pytest.raises(UntrustedModel):
            load(path)
        models.append(opened(path))
    assert [answer(model, "prediction") for model in (*models, *models)] == [2, 4, 2, 4]


def test_a_pickle_that_changes_after_the_check_is_not_read(tmp_path: Path) -> None:
    from hydro_runtimes.model_folder import ModelFolder
    from hydro_runtimes.scikit import loader

    folder_of(tmp_path, {"m.pkl": pickle.dumps(1)})
    folder = ModelFolder(tmp_path, {digest_folder(tmp_path)})
    assert folder.is_trusted
    (tmp_path / "m.pkl").write_bytes(b"cos\nabort\n(tR.")
    with pytest.raises(InvalidModel, match="changed after"):
        loader.load(folder)


def test_functions_go_to_processes_of_joblib(tmp_path: Path) -> None:
    before = "import joblib, helper\n" + (
        "f = joblib.Parallel(n_jobs=2)(joblib.delayed(helper.twice)(i) for i in range(3))"
    )
    files = {
        "model.py": model_of(before, "sum(f)"),
        "helper.py": "from other import N\ndef twice(i): return N * i\n",
        "other.py": "N = 2",
    }
    assert answer(opened(folder_of(tmp_path, files))) == 6


def test_a_fork_of_multiprocessing_finds_it(tmp_path: Path) -> None:
    before = """
        import multiprocessing, helper
        with multiprocessing.get_context("fork").Pool(1) as pool: v = pool.map(helper.twice, [2])
    """
    files = {
        "model.py": model_of(before, "v[0]"),
        "helper.py": "def twice(i):\n    import other\n    return other.N * i\n",
        "other.py": "N = 2",
    }
    assert answer(opened(folder_of(tmp_path, files))) == 4


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_compiled_modules_are_each_model_s_own(tmp_path: Path) -> None:
    source = """
        #include <Python.h>
        static struct PyModuleDef def = {PyModuleDef_HEAD_INIT, "fast", 0, -1, 0};
        PyMODINIT_FUNC PyInit_fast(void) {
            PyObject *m = PyModule_Create(&def);
            PyModule_AddIntConstant(m, "N", NUMBER);
            return m;
        }
    """
    (tmp_path / "fast.c").write_text(textwrap.dedent(source))
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    models = []
    for number in (1, 2):
        path = folder_of(
            tmp_path / str(number), {"model.py": "import fast\n" + model_of("", "fast.N")}
        )
        include = sysconfig.get_path("include")
        if not Path(include, "Python.h").exists():
            pytest.skip("no headers of Python")
        target = path / f"fast{suffix}"
        command = ["cc", "-shared", "-fPIC", f"-DNUMBER={number}", f"-I{include}"]
        subprocess.run([*command, "-o", target, tmp_path / "fast.c"], check=True)
        models.append(opened(path))
    assert [answer(model) for model in models] == [1, 2]


class Swaps(RuleBasedStateMachine):
    """Models with modules of the same names, loaded, asked and unloaded in any order."""

    models = Bundle("models")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.count = 0

    @rule(target=models, name=st.sampled_from(sorted(WAYS)), number=st.integers(1, 9))
    def loaded(self, name: str, number: int) -> tuple[Evaluator, int]:
        self.count += 1
        return opened(folder_of(self.root / str(self.count), way(number, name))), number

    @rule(model=models)
    def asked(self, model: tuple[Evaluator, int]) -> None:
        assert answer(model[0]) == model[1]

    @rule(model=consumes(models))
    def unloaded(self, model: tuple[Evaluator, int]) -> None:
        assert answer(model[0]) == model[1]

    @rule(target=models, model=consumes(models), name=st.sampled_from(sorted(WAYS)))
    def swapped(self, model: tuple[Evaluator, int], name: str) -> object:
        new = self.loaded(name, model[1] + 10)
        assert answer(model[0]) == model[1]
        return multiple(new)

    def teardown(self) -> None:
        shutil.rmtree(self.root)


TestSwaps = pytest.mark.slow(Swaps.TestCase)
TestSwaps.settings = settings(
    max_examples=30, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
