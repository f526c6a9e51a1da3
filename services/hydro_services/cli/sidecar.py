"""`hydro sidecar`: the Envoy beside a process."""

from __future__ import annotations

import argparse
from pathlib import Path

from hydro_services.cli import part
from hydro_services.cli.command import EGRESS, address, join, managers, token_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "process",
        metavar="SERVICE/INSTANCE",
        type=process,
        help="the process that it stands beside, such as serving-scikit/scikit-1 or\n"
        "manager/manager",
    )
    text = "the manager's sidecar; beside the manager: the manager's process"
    managers(parser, text)
    address(parser, "egress", EGRESS, "where its process reaches all others, on loopback")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(".hydro/sidecar"),
        metavar="DIR",
        help="for its files, one folder an Envoy (default: %(default)s)",
    )
    token_file(parser)
    join(parser)
    address(parser, "admin", "127.0.0.1:0", "its admin API; port 0: any free one")


def process(text: str) -> str:
    """SERVICE/INSTANCE."""
    service, slash, instance = text.partition("/")
    if not service or not slash or not instance or "/" in instance:
        raise argparse.ArgumentTypeError(f"got {text!r}, want SERVICE/INSTANCE")
    return text


COMMANDS = (
    part.command(
        "sidecar",
        "hydro_services.proxy.sidecar",
        "run the Envoy beside a process",
        (
            "hydro sidecar manager/manager --xds 127.0.0.1:8072 --egress 127.0.0.1:8073",
            "hydro sidecar serving-scikit/scikit-1 --xds 10.0.0.5:8082 --join scikit.json",
        ),
        add_arguments,
    ),
)
