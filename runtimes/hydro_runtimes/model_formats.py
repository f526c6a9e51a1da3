"""The formats of models, in one table: all that the rest of the product has to know of each.

To add one: an entry of `FORMATS`, its loader, and the docs. From the table alone the repository
finds and describes its models, runtimes load them, and `hydro up` starts the service that does.
Nothing of a format is imported before one of its models is looked at: `hydro up` has no numpy.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.files import METADATA

if TYPE_CHECKING:
    from hydro_runtimes.evaluator import Description, Evaluator
    from hydro_runtimes.model_folder import ModelFolder


class Loader(Protocol):
    """What the module has that a format names as its loader."""

    def load(self, folder: ModelFolder) -> Evaluator:
        """The model, ready to evaluate.

        Raises:
            ModelError: it cannot be loaded.
        """
        ...

    def describe(self, folder: ModelFolder) -> Description:
        """The model's columns and stages, found without running any code of it.

        Raises:
            ModelError: it cannot be served.
        """
        ...


class Reader(Protocol):
    """What the module has that a format names as its reader."""

    def read_model(self, file: Path, ask: Callable[[str], None]) -> object:
        """The fitted model, of its library's own class, in a file.

        Args:
            file: as the library saved it; where its format runs code, it is trusted.
            ask: called with a reason before anything else runs code; raises if it may not.

        Raises:
            Exception: it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """One format of saved models."""

    name: str
    description: str
    """What is in a folder of it, to follow "want"."""
    service: str
    """The runtime service that serves it."""
    loader: str
    """The module, see `Loader`; imported when a model of the format is first looked at."""
    reader: str = ""
    """The module, see `Reader`, for files that do not tell their columns: `hydro deploy` reads
    the model and writes it again, with what its example tells. Empty: files tell them."""
    names: frozenset[str] = frozenset()
    """Files and folders that make the folder they are in a model of this format, or a part of one.
    """
    suffixes: Mapping[str, str] = field(default_factory=dict)
    """Of files that make the folder they are in a model, with their media types."""
    shared_suffixes: tuple[str, ...] = ()
    """Of files that do so if `start` is in their first bytes: others have the same suffix."""
    start: bytes = b""
    runs_code: bool = False
    """It runs code when it is loaded: the digest of its folder has to be trusted."""
    extra: str = ""
    """Of the package: what to install for it; empty: nothing, or what `package` says."""
    package: str = ""
    """What to install for it where no extra has it."""
    modules: tuple[str, ...] = ()
    """What its models import of other packages: they have to be installed, and `hydro up` imports
    them once for all processes."""
    is_preloaded: bool = True
    """Without it, `modules` are imported when the first model needs them."""
    is_in: Callable[[Path], bool] | None = None
    """Whether a folder holds a model of this format; None: the names in it tell.

    Raises InvalidModel: it does, but not a whole one."""
    is_below: Callable[[Path], bool] | None = None
    """Whether there is one further down; asked where the folder itself holds a model of no format.
    """
    check_file: Callable[[BinaryIO], None] | None = None
    """Raises ValueError where a file of one of the suffixes is not whole."""

    def marks(self, name: str) -> bool:
        """Whether a file or folder of this name is a part of a model of this format."""
        return name in self.names or name.endswith(tuple(self.suffixes))

    def find_files(self, folder: Path) -> list[Path]:
        """The files in a folder that hold a model of this format, by name."""
        own, shared = tuple(self.suffixes), self.shared_suffixes
        return [
            path
            for path in sorted(folder.iterdir())
            if path.name.endswith(own + shared) and path.name != METADATA and path.is_file()
            if path.name.endswith(own) or _begins_with(path, self.start)
        ]

    def only_file(self, folder: Path) -> Path:
        """The one file in a folder that holds a model of this format.

        Raises:
            InvalidModel: there is none, or more than one.
        """
        found = self.find_files(folder)
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise InvalidModel(folder, f"found {names}, want {self.description}")
        return found[0]

    @property
    def libraries(self) -> tuple[str, ...]:
        """The import names of the packages that have its modules."""
        return tuple(dict.fromkeys(module.partition(".")[0] for module in self.modules))

    @property
    def way_out(self) -> str:
        """The command that installs its libraries."""
        wanted = f"'hydro-serving[{self.extra}]'" if self.extra else self.package
        return f"pip install {wanted}"

    def require_libraries(self, folder: Path) -> None:
        """Raises InvalidModel where a library is missing that the model needs."""
        missing = [name for name in self.libraries if importlib.util.find_spec(name) is None]
        if missing:
            got = f"a model of format {self.name} needs {', '.join(missing)}"
            raise InvalidModel(folder, f"{got}, which is not installed; {self.way_out}")

    def import_loader(self) -> Loader:
        return cast(Loader, importlib.import_module(self.loader))

    def import_reader(self) -> Reader | None:
        return cast(Reader, importlib.import_module(self.reader)) if self.reader else None


def _is_spark(folder: Path) -> bool:
    from hydro_runtimes.spark.format import layouts

    return layouts.read_layout(folder) is not None


def _is_spark_below(folder: Path) -> bool:
    from hydro_runtimes.spark.format import layouts

    return layouts.search_below(folder) is not None


def _is_pyfunc(folder: Path) -> bool:
    """Whether MLflow saved a flavor that it alone can evaluate."""
    from hydro_runtimes import mlflow_folder, pyfunc

    if not mlflow_folder.is_mlflow(folder):
        return False
    flavors = mlflow_folder.read_flavors(folder)
    return "python_function" in flavors and not pyfunc.NATIVE & flavors.keys()


def _begins_with(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return start in file.read(_START_BYTES)
    except OSError:
        return False


def _check_zip(file: BinaryIO) -> None:
    """A zip file has its directory at its end."""
    import zipfile

    try:
        zipfile.ZipFile(file).close()
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


_BINARY = "application/octet-stream"
_START_BYTES = 64
_SCIKIT = ("sklearn.pipeline", "sklearn.svm", "skops.io")

FORMATS: tuple[Format, ...] = (
    Format(
        name="spark",
        description="a saved Spark model (metadata/part-*)",
        service="serving-localml-spark",
        loader="hydro_runtimes.spark.loader",
        names=frozenset({"metadata", "MLmodel", "rMetadata", "stages"}),
        extra="spark",
        modules=("pyarrow.parquet",),
        is_in=_is_spark,
        is_below=_is_spark_below,
    ),
    Format(
        name="pyfunc",
        description="what MLflow saved (MLmodel)",
        service="serving-customscikit",
        loader="hydro_runtimes.pyfunc",
        names=frozenset({"MLmodel"}),
        runs_code=True,
        # In no extra: it brings opentelemetry-proto, which overwrites files of xds-protos.
        package="mlflow-skinny",
        modules=("mlflow.pyfunc", "pandas"),
        is_in=_is_pyfunc,
        is_preloaded=False,
    ),
    Format(
        name="python",
        description=f"model.py and {METADATA}",
        service="serving-customscikit",
        loader="hydro_runtimes.python",
        names=frozenset({"model.py"}),
        runs_code=True,
        extra="scikit",
        modules=_SCIKIT,
    ),
    Format(
        name="skops",
        description=f"one file of *.skops and {METADATA}",
        service="serving-scikit",
        loader="hydro_runtimes.scikit.loader",
        reader="hydro_runtimes.scikit.saved_files",
        suffixes={".skops": "application/zip"},
        extra="scikit",
        modules=_SCIKIT,
        check_file=_check_zip,
    ),
    Format(
        name="pickle",
        description=f"one file of *.pkl, *.pickle, *.joblib and {METADATA}",
        service="serving-scikit",
        loader="hydro_runtimes.scikit.loader",
        reader="hydro_runtimes.scikit.saved_files",
        suffixes=dict.fromkeys((".pkl", ".pickle", ".joblib"), _BINARY),
        runs_code=True,
        extra="scikit",
        modules=_SCIKIT,
    ),
    Format(
        name="xgboost",
        description="one file of XGBoost, *.ubj or model.json",
        service="serving-boosters",
        loader="hydro_runtimes.boosters.xgboost",
        names=frozenset({"model.json"}),
        suffixes={".ubj": _BINARY},
        shared_suffixes=(".json", ".xgb"),
        start=b"learner",
        extra="xgboost",
        modules=("xgboost",),
    ),
    Format(
        name="lightgbm",
        description="one text of LightGBM, model.txt",
        service="serving-boosters",
        loader="hydro_runtimes.boosters.lightgbm",
        names=frozenset({"model.txt"}),
        shared_suffixes=(".txt", ".lgb"),
        start=b"tree\nversion=",
        extra="lightgbm",
        modules=("lightgbm",),
    ),
    Format(
        name="catboost",
        description="one file of CatBoost, *.cbm",
        service="serving-boosters",
        loader="hydro_runtimes.boosters.catboost",
        suffixes={".cbm": _BINARY},
        shared_suffixes=(".cb",),
        start=b"CBM1",
        extra="catboost",
        modules=("catboost",),
    ),
    Format(
        name="onnx",
        description="one file of ONNX, *.onnx",
        service="serving-onnx",
        loader="hydro_runtimes.onnx.loader",
        suffixes={".onnx": _BINARY},
        extra="onnx",
        modules=("onnxruntime",),
        is_preloaded=False,  # it starts a thread, which a fork would lack
    ),
)
"""A folder is of the first of them that it holds."""


def detect_format(folder: Path) -> Format:
    """The format of a model folder.

    Raises:
        InvalidModel: it is not a folder or holds no model; the message names what is in it.
    """
    if folder.is_file():
        raise InvalidModel(folder, "is a file, want the folder of a model; unpack an archive first")
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InvalidModel(folder, f"cannot be read: {error.strerror}") from error
    for format in FORMATS:
        if format.is_in(folder) if format.is_in else _is_in(format, folder, names):
            return format
    # Only now: a folder that is a model of any format is not searched for others inside.
    for format in FORMATS:
        if format.is_below and format.is_below(folder):
            return format
    wanted = ", or ".join(format.description for format in FORMATS)
    got = ", ".join(names[:10]) or "nothing"
    raise InvalidModel(folder, f"no model here: found {got}; want {wanted}")


def _is_in(format: Format, folder: Path, names: Iterable[str]) -> bool:
    if format.shared_suffixes:
        return bool(format.find_files(folder))
    return any(map(format.marks, names))


def by_name(name: str) -> Format:
    """The format of that name, which is in the table."""
    return next(format for format in FORMATS if format.name == name)


def is_marked(names: Iterable[str]) -> bool:
    """Whether a folder with these names in it looks like a model, or a part of one."""
    marks = {METADATA}.union(*(format.names for format in FORMATS))
    suffixes = tuple(suffix for format in FORMATS for suffix in format.suffixes)
    return any(name in marks or name.endswith(suffixes) for name in names)


def by_suffix(path: str) -> Format | None:
    """The format whose files have the suffix of this one."""
    return next((format for format in FORMATS if path.endswith(tuple(format.suffixes))), None)


def by_service() -> dict[str, tuple[Format, ...]]:
    """The formats that each runtime service serves, in the order of the table."""
    services = dict.fromkeys(format.service for format in FORMATS)
    return {name: tuple(f for f in FORMATS if f.service == name) for name in services}
