"""A model folder to an evaluator, by the folder's format.

spark   metadata/part-*, as Spark ML saves any pipeline, model or transformer, or a folder of MLflow
        or SparkR around it; a metadata.json may state the types of inputs that the saved stages do
        not tell
skops   one *.skops file and metadata.json
pickle  one *.pkl, *.pickle or *.joblib file and metadata.json; must be trusted
python  model.py and metadata.json; must be trusted
"""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from hydro_runtimes import metadata
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluator, Part, Signature
from hydro_runtimes.files import digest_of, files, open_regular
from hydro_runtimes.spark.format import layouts

if TYPE_CHECKING:
    from hydro_runtimes.spark.pipeline import SparkEvaluator

T = TypeVar("T")
Format: TypeAlias = Literal["spark", "skops", "pickle", "python"]

_WANTED = (
    "want a saved Spark model (metadata/part-*), model.py, or one file of *.skops, *.pkl, "
    "*.joblib, each with metadata.json but for Spark"
)


def detect(folder: Path) -> Format:
    """The format of a model folder, by the names in it.

    Raises:
        InvalidModel: it is no folder or holds no model; the message names what was found.
    """
    if folder.is_file():
        raise InvalidModel(folder, "is a file, want the folder of a model; unpack an archive first")
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InvalidModel(folder, f"cannot be read: {error.strerror}") from error
    if layouts.read(folder):
        return "spark"
    if "model.py" in names:
        return "python"
    suffixes = {Path(name).suffix for name in names}
    if ".skops" in suffixes:
        return "skops"
    if suffixes & {".pkl", ".pickle", ".joblib"}:
        return "pickle"
    if layouts.search(folder):
        return "spark"
    found = ", ".join(names[:10]) or "nothing"
    raise InvalidModel(folder, f"no model here: found {found}; {_WANTED}")


def load(folder: Path, trusted: Container[str] = ()) -> Evaluator:
    """The evaluator of a saved model.

    Args:
        folder: of the model.
        trusted: digests (see `files.digest`) of the folders that may run code when loaded.

    Raises:
        InvalidModel: corrupt, incomplete, or of an unknown format.
        UnsupportedStage: a Spark stage of a class that is not supported.
        UntrustedModel: it would run code and its digest is not in `trusted`.
    """
    return _LOADERS[detect(folder)](folder, trusted)


def described(folder: Path) -> tuple[Signature, tuple[Part, ...]]:
    """The signature and the stages of a saved model, found without running any code of it.

    Raises:
        InvalidModel: corrupt, incomplete, or of an unknown format.
        UnsupportedStage: a Spark stage of a class that is not supported.
    """
    if detect(folder) == "spark":
        model = _spark(folder, ())
        return model.signature, model.parts
    return _read(folder, metadata.parse), ()


def _read(folder: Path, parse: Callable[[bytes], T]) -> T:
    try:
        with open_regular(folder / "metadata.json") as stream:
            return parse(stream.read(metadata.MAX_BYTES + 1))
    except OSError as error:
        message = f"metadata.json cannot be read ({error.strerror}): want the model's columns in it"
        raise InvalidModel(folder, message) from error
    except ValueError as error:
        raise InvalidModel(folder, str(error)) from error


def _spark(folder: Path, trusted: Container[str]) -> SparkEvaluator:
    from hydro_runtimes.spark import pipeline
    from hydro_runtimes.spark.data.session import Session

    layout = layouts.read(folder) or layouts.search(folder)
    if layout is None:
        raise InvalidModel(folder, "no saved Spark model here any more")
    beside = [each for each in (folder, layout.stage) if (each / "metadata.json").exists()]
    if not beside:
        return pipeline.load(layout.stage, layout.inputs)
    try:
        session = Session(*_read(beside[0], metadata.session))
    except ValueError as error:
        raise InvalidModel(folder, f"metadata.json: {error}") from error
    stated = {field.name: field for field in (*layout.inputs, *_read(beside[0], metadata.inputs))}
    return pipeline.load(layout.stage, tuple(stated.values()), session)


def _scikit(folder: Path, trusted: Container[str]) -> Evaluator:
    from hydro_runtimes import scikit

    signature, listed = _read(folder, metadata.parse), files(folder)
    stated = digest_of(listed)
    return scikit.load(folder, signature, listed, is_trusted=stated in trusted)


def _python(folder: Path, trusted: Container[str]) -> Evaluator:
    from hydro_runtimes import python, scikit

    signature, listed = _read(folder, metadata.parse), files(folder)
    stated = digest_of(listed)
    if stated not in trusted:
        raise scikit.untrusted(folder, stated, "'model.py' runs code when it is loaded")
    return python.load(folder, signature, listed)


_LOADERS: dict[Format, Callable[[Path, Container[str]], Evaluator]] = {
    "spark": _spark,
    "skops": _scikit,
    "pickle": _scikit,
    "python": _python,
}
