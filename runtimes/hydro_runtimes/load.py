"""A model folder to an evaluator, by the loader of its format; see `model_formats`."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from hydro_runtimes import model_formats
from hydro_runtimes.evaluator import Description, Evaluator
from hydro_runtimes.model_folder import ModelFolder


def load(folder: Path, trusted: Container[str] = ()) -> Evaluator:
    """The evaluator of a saved model.

    Args:
        folder: of the model.
        trusted: digests (see `files.digest_folder`) of the folders that may run code when loaded.

    Raises:
        InvalidModel: corrupt, incomplete, of an unknown format, or its library is missing.
        UnsupportedStage: a Spark stage of a class that is not supported.
        UntrustedModel: it would run code and its digest is not in `trusted`.
    """
    format, model = model_formats.detect_format(folder), ModelFolder(folder, trusted)
    # Before the loader is called: no loader can forget to ask.
    if format.runs_code:
        names = sorted(path.name for path in folder.iterdir() if format.marks(path.name))
        model.require_trust(f"'{names[0]}' runs code when it is loaded")
    format.require_libraries(folder)
    return format.import_loader().load(model)


def describe(folder: Path) -> Description:
    """The signature and the stages of a saved model, found without running any code of it.

    Raises:
        InvalidModel: corrupt, incomplete, or of an unknown format.
        UnsupportedStage: a Spark stage of a class that is not supported.
    """
    from hydro_runtimes.fitted import describe_fitted

    model = ModelFolder(folder)
    description = model_formats.detect_format(folder).import_loader().describe(model)
    return description._replace(fitted=describe_fitted(model))
