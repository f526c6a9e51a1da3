"""`hydro manager`: a manager alone."""

from __future__ import annotations

from pathlib import Path

from hydro_services.cli import part
from hydro_services.cli.command import Option
from hydro_services.cli.options import (
    METRICS,
    OF_MANAGER,
    SIDECAR,
    address,
    folder,
)
from hydro_services.default_addresses import EGRESS, GATEWAY, MANAGER, REPOSITORY, XDS

COMMANDS = (
    part.part_command(
        "manager",
        "hydro_services.manager.process",
        (
            "hydro manager --data /var/lib/hydro --gateway 0.0.0.0:8083 --keys keys.json",
            "hydro manager --xds 127.0.0.1:8072 --sidecar 10.0.0.5:8082 --admin-key-file admin.key",
        ),
        (
            folder("data", ".hydro/manager", "where pipelines are kept"),
            address("xds", XDS, "where its own gRPC listens, for Envoys and all parts", "listen"),
            address("manager", MANAGER, "where Envoy is to offer the manager", "manager_api"),
            address("gateway", GATEWAY, "where Envoy is to offer pipelines"),
            address(
                "repository",
                REPOSITORY,
                "where Envoy is to offer the repository",
                "repository_api",
            ),
            METRICS,
            SIDECAR,
            address("egress", EGRESS, "with --sidecar: where the sidecar takes its calls"),
            Option(
                "--ca",
                "with --sidecar: the mesh's authority, the same for all managers",
                Path,
                "DIR",
                shown_default="ca in the data folder",
            ),
            *OF_MANAGER,
            Option(
                "--instance",
                "its name among managers, the same after a restart",
                default="",
                shown_default="HOST-PORT",
            ),
        ),
    ),
)
