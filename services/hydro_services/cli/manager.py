"""`hydro manager`: a manager alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from hydro_services.cli import part
from hydro_services.cli.command import (
    EGRESS,
    GATEWAY,
    MANAGER,
    REPOSITORY,
    XDS,
    access,
    access_log,
    address,
    certificate_ttl,
    collector,
    metrics,
    registry,
    sidecar,
    time_limits,
    token_file,
    trace_percent,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(".hydro/manager"),
        metavar="DIR",
        help="where pipelines are kept (default: %(default)s)",
    )
    address(parser, "xds", XDS, "where its own gRPC listens: for Envoys and all parts", "listen")
    address(parser, "manager", MANAGER, "where Envoy is to offer the manager", "edge")
    address(parser, "gateway", GATEWAY, "where Envoy is to offer pipelines")
    sidecar(parser)
    address(parser, "egress", EGRESS, "with --sidecar: where the sidecar takes its calls")
    parser.add_argument(
        "--ca",
        type=Path,
        metavar="DIR",
        help="with --sidecar: the mesh's authority, the same for all managers (default: DATA/ca)",
    )
    certificate_ttl(parser)
    text = "where Envoy is to offer the repository"
    address(parser, "repository", REPOSITORY, text, "repository_edge")
    metrics(parser)
    collector(parser)
    trace_percent(parser)
    time_limits(parser)
    access_log(parser)
    access(parser)
    token_file(parser, None)
    registry(parser)
    parser.add_argument(
        "--instance",
        default="",
        help="its name among managers, the same after a restart (default: HOST-PORT)",
    )


COMMANDS = (
    part.command(
        "manager",
        "hydro_services.manager.process",
        "run a manager alone",
        (
            "hydro manager --data /var/lib/hydro --gateway 0.0.0.0:8083 --keys keys.json",
            "hydro manager --xds 127.0.0.1:8072 --sidecar 10.0.0.5:8082 --admin-key-file admin.key",
        ),
        add_arguments,
    ),
)
