"""`hydro init`: a folder of models with a commented example."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hydro_services.cli.command import Command, Option
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES
from hydro_services.errors import FailedPrecondition

_README = """\
# Models

A model is a folder `<framework>/<name>` or `<framework>/<name>/<version>`; `hydro deploy` writes
such folders. The mesh that `hydro up` starts notices them, and those that you put here yourself.
`hydro models list` shows them, and which are refused and why.

`python/title_length` is an example of a model in Python of your own.
"""
_MODEL = '''\
"""A model in Python of your own: it tells how long titles are."""

# The folder's name is the model's name. Beside this file are metadata.json, which states the
# columns that go in and come out, and whatever else the model reads. Other modules here are
# imported by their plain names: `import helper`.


class Model:
    """The class has to have this name."""

    def __init__(self, folder):
        """Called once when the model is loaded. `folder`: the pathlib.Path of this folder."""
        # Load here what the model reads, for example:
        # self.weights = numpy.load(folder / "weights.npy")

    def evaluate(self, columns):
        """Called for some rows at a time.

        `columns`: of each input by name, a list or a numpy array with one value for each row.
        Returns the same of each output. An exception fails these rows, and no others.
        """
        return {"length": [len(title) for title in columns["title"]]}
'''
_METADATA = """\
{"model": "title_length",
 "inputs": [{"name": "title", "type": "string"}],
 "outputs": [{"name": "length", "type": "int64"}]}
"""
_ROWS = '[{"title": "red shoes"}, {"title": "umbrella"}]\n'
FILES = {
    "README.md": _README,
    "python/title_length/model.py": _MODEL,
    "python/title_length/metadata.json": _METADATA,
}
"""What is made, by path below `models`."""
ROWS = "title_length.json"
"""Beside `models`: an example for the model."""


@dataclass(frozen=True, slots=True)
class InitOptions:
    folder: Path
    json: bool


def make_models(options: InitOptions, output: Output) -> int:
    models = options.folder / "models"
    texts = {models / path: text for path, text in FILES.items()}
    texts[options.folder / ROWS] = _ROWS
    for path in (models, options.folder / ROWS):
        if path.exists():
            raise FailedPrecondition(f"{path} is there already; remove it, or name another folder")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if output.json:
        output.value({"models": str(models), "files": [str(path) for path in texts]})
    else:
        output.data(_next_steps(options.folder))
    return 0


def _next_steps(folder: Path) -> str:
    change = "" if folder == Path() else f"  cd {folder}\n"
    return f"""\
made {folder / "models"}, with a commented example: {folder / "models/python/title_length/model.py"}

Next:
{change}  hydro up                                         start the mesh, and in another terminal:
  hydro deploy models/python/title_length --example {ROWS} --trust
  hydro deploy MODEL --example ROWS                a model of your own: a file that a library
                                                   saved, and rows as JSON or CSV
"""


COMMANDS = (
    Command(
        "init",
        SUMMARIES["init"],
        ("hydro init", "hydro init shop && cd shop && hydro up"),
        (Option("FOLDER", "where `models` is made", Path, default=".", nargs="?", field="folder"),),
        InitOptions,
        make_models,
    ),
)
