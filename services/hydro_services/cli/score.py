"""`hydro score`: one model, offline: rows in, rows with all its columns out."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hydro_runtimes.errors import UntrustedModel
from hydro_runtimes.evaluator import Evaluator, Failure
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load
from hydro_services import errors, logs
from hydro_services.cli import row_input
from hydro_services.cli.command import Command, Option
from hydro_services.cli.options import ROWS, TRUSTED
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES
from hydro_services.codecs import json_rows
from hydro_services.codecs.json_rows import Row
from hydro_services.runtime.scoring import score_rows
from hydro_services.security.trusted_models import read_trusted

T = TypeVar("T")

BATCH = 1000
"""Rows evaluated together at most."""


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What is scored with what."""

    folder: Path
    file: str
    trusted: Path | None
    trust: bool
    json: bool


def run_score(options: ScoreOptions, output: Output) -> int:
    logs.set_up_logging(os.environ.get("HYDRO_LOG_LEVEL", "CRITICAL"), "score")
    with _end_on_interrupt():
        return _score_file(options, output)


def _score_file(options: ScoreOptions, output: Output) -> int:
    with contextlib.redirect_stdout(sys.stderr):  # standard output has answers alone
        evaluator = load_model(options, output)
    failed = 0
    with row_input.open_rows(options.file) as file:
        for parsed in read_batches(row_input.read_pieces(file)):
            with contextlib.redirect_stdout(sys.stderr):
                answers, count = score_rows(evaluator, parsed)
            failed += count
            output.data(json_rows.write_lines(answers).decode())
    if failed:
        output.note(f"{failed} {'row' if failed == 1 else 'rows'} failed")
    return 0


@contextlib.contextmanager
def _end_on_interrupt() -> Iterator[None]:
    """Ctrl-C ends this process; a KeyboardInterrupt is a failure of the model that raises it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def load_model(options: ScoreOptions, output: Output) -> Evaluator:
    """The model, loaded.

    Raises:
        ModelError: it cannot be.
        errors.InvalidArgument: the file of trusted digests cannot be read.
    """
    allowed = set(read_trusted(options.trusted))
    if options.trust:
        output.note(f"trusting {options.folder}: Python code that it brings runs with your rights")
        allowed.add(digest_folder(options.folder))
    try:
        return load(options.folder, allowed)
    except UntrustedModel as error:
        way_out = "pass --trust, or --trusted FILE with a file that `hydro models trust` wrote"
        raise errors.ModelRefused(f"{error}; {way_out}", digest=error.digest) from None


def read_batches(pieces: Iterator[bytes]) -> Iterator[Sequence[Row | Failure]]:
    """Rows, or why a line holds none: of an array when it is whole, of lines as they come.

    Raises:
        errors.InvalidArgument: an array that is not one of row objects.
    """
    start = b""
    for piece in pieces:
        start += piece
        if start.strip():
            break
    if row_input.is_json_array(start):
        yield from _slice_items(json_rows.parse_array(start + b"".join(pieces)))
        return
    for lines in row_input.whole_lines(itertools.chain([start], pieces)):
        for some in _slice_items(lines):
            yield [json_rows.parse_line(line) for line in some]


def _slice_items(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[at : at + BATCH] for at in range(0, len(items), BATCH))


COMMANDS = (
    Command(
        "score",
        SUMMARIES["score"],
        (
            "hydro score models/spark/pm_spark rows.ndjson > answers.ndjson",
            "hydro score models/scikit/pm_scikit --trust < rows.ndjson",
        ),
        (
            Option("MODEL_DIR", "the model's folder", Path, field="folder"),
            ROWS,
            TRUSTED,
            Option("--trust", "let this model run code of its own", default=False, is_flag=True),
        ),
        ScoreOptions,
        run_score,
        "Writes a line for each row, in order: the row with the columns that the model adds, or\n"
        '{"error": {"code", "status", "reason", "message", "stage", "column"}} if it failed, or\n'
        "null if the model leaves it out. The exit code is 0 when all rows were answered, also by\n"
        "errors, and 1 when the model or the file cannot be read.\n"
        "HYDRO_LOG_LEVEL=ERROR shows the tracebacks of a model's own code.",
    ),
)
