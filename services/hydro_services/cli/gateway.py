"""`hydro gateway`: an Envoy alone."""

from __future__ import annotations

from hydro_envoy.address import ANY_PORT
from hydro_services.cli import part
from hydro_services.cli.command import Option
from hydro_services.cli.options import JOIN, METRICS, TLS, address, folder, managers, token_file

COMMANDS = (
    part.part_command(
        "gateway",
        "hydro_services.proxy.gateway",
        (
            "hydro gateway --xds 10.0.0.5:8082 --id gateway-2",
            "hydro gateway --xds 10.0.0.5:8082 --join gateway.json",
            "hydro gateway --registry consul://127.0.0.1:8500",
            "HYDRO_XDS=10.0.0.5:8082,10.0.0.6:8082 hydro gateway",
        ),
        (
            *managers("the manager's process, which configures Envoy"),
            Option("--id", "its name among Envoys", default="gateway"),
            folder("data", ".hydro/gateway", "for its files, one folder for each Envoy"),
            *TLS,
            token_file(),
            JOIN,
            address("admin", ANY_PORT, "its admin API; port 0: any free one"),
            METRICS,
        ),
    ),
)
