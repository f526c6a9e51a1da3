"""`hydro runtime`: a runtime alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from hydro_services.cli import part
from hydro_services.cli.command import (
    cache_bytes,
    collector,
    listen,
    metrics,
    registration,
    sidecar,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "service", metavar="SERVICE", help="for example serving-scikit; the first part of a stage"
    )
    parser.add_argument(
        "--instance",
        default="",
        help="its name, the same after a restart (default: SERVICE-HOST-PID)",
    )
    parser.add_argument(
        "--formats",
        type=words,
        default=(),
        metavar="FORMAT,...",
        help="of models that it serves (default: those of the service of that name)",
    )
    parser.add_argument(
        "--trusted",
        type=Path,
        metavar="FILE",
        help="digests of models that may run code of their own; see hydro models trust",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(".hydro/cache"),
        metavar="DIR",
        help="where models are kept (default: %(default)s)",
    )
    cache_bytes(parser)
    listen(parser)
    metrics(parser)
    collector(parser)
    sidecar(parser)
    registration(parser)


def words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


COMMANDS = (
    part.command(
        "runtime",
        "hydro_services.runtime.process",
        "run a runtime alone",
        (
            "hydro runtime serving-scikit --xds 127.0.0.1:8073 --sidecar 10.0.0.7:8084",
            "hydro runtime serving-customscikit --trusted models/trusted.txt",
        ),
        add_arguments,
    ),
)
