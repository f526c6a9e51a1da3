"""`hydro gateway`: an Envoy alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from hydro_services.cli import part
from hydro_services.cli.command import address, join, managers, metrics, tls, token_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    managers(parser, "the manager's process, which tells Envoy what to do")
    parser.add_argument(
        "--id", default="gateway", help="its name among Envoys (default: %(default)s)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(".hydro/gateway"),
        metavar="DIR",
        help="for its files, one folder an Envoy (default: %(default)s)",
    )
    tls(parser)
    token_file(parser)
    join(parser)
    address(parser, "admin", "127.0.0.1:0", "its admin API; port 0: any free one")
    metrics(parser)


COMMANDS = (
    part.command(
        "gateway",
        "hydro_services.proxy.gateway",
        "run an Envoy alone",
        (
            "hydro gateway --xds 10.0.0.5:8082 --id gateway-2",
            "hydro gateway --xds 10.0.0.5:8082 --join gateway.json",
            "hydro gateway --registry consul://127.0.0.1:8500",
            "HYDRO_XDS=10.0.0.5:8082,10.0.0.6:8082 hydro gateway",
        ),
        add_arguments,
    ),
)
