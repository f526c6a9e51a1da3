"""The loader of saved Spark models, and of folders of MLflow or SparkR around them.

A metadata.json may state the types of inputs that the saved stages do not tell, and how Spark's
session was set.
"""

from __future__ import annotations

from hydro_runtimes import files, metadata
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Description
from hydro_runtimes.model_folder import ModelFolder
from hydro_runtimes.spark import pipeline
from hydro_runtimes.spark.data.session_conf import SessionConf
from hydro_runtimes.spark.format import layouts
from hydro_runtimes.spark.pipeline import SparkEvaluator


def load(folder: ModelFolder) -> SparkEvaluator:
    """As `formats.Loader.load`; a Spark model runs no code of its own."""
    layout = layouts.read_layout(folder.path) or layouts.search_below(folder.path)
    if layout is None:
        raise InvalidModel(folder.path, "no saved Spark model here any more")
    places = [p for p in (folder.path, layout.stage) if (p / files.METADATA).exists()]
    if not places:
        return pipeline.load(layout.stage, layout.inputs)
    try:
        session = SessionConf(*folder.read_metadata(metadata.parse_session, places[0]))
    except ValueError as error:
        raise InvalidModel(folder.path, f"{files.METADATA}: {error}") from error
    inputs = (*layout.inputs, *folder.read_metadata(metadata.parse_inputs, places[0]))
    stated = {field.name: field for field in inputs}
    return pipeline.load(layout.stage, tuple(stated.values()), session)


def describe(folder: ModelFolder) -> Description:
    """As `formats.Loader.describe`: the saved stages tell the columns."""
    model = load(folder)
    return Description(model.signature, model.parts)
