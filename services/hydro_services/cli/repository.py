"""`hydro repository`: a repository alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from hydro_services.cli import part
from hydro_services.cli.command import listen, metrics, registration, sidecar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        type=Path,
        default=Path("models"),
        metavar="DIR",
        help="the folder of models (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(".hydro/repository"),
        metavar="DIR",
        help="where it is kept which folder has a model's name (default: %(default)s)",
    )
    parser.add_argument(
        "--instance",
        default="repository",
        help="its name, the same after a restart (default: %(default)s)",
    )
    listen(parser)
    metrics(parser)
    sidecar(parser)
    registration(parser)


COMMANDS = (
    part.command(
        "repository",
        "hydro_services.repository.process",
        "run a repository alone",
        (
            "hydro repository --models /srv/models",
            "hydro repository --instance two --xds 127.0.0.1:8073 --sidecar 10.0.0.6:8084",
        ),
        add_arguments,
    ),
)
