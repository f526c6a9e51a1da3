"""`hydro sidecar`: the Envoy beside a process."""

from __future__ import annotations

from hydro_envoy.address import ANY_PORT
from hydro_services.cli import part
from hydro_services.cli.command import Option
from hydro_services.cli.options import JOIN, address, folder, managers, token_file
from hydro_services.default_addresses import EGRESS


def parse_process(text: str) -> str:
    """SERVICE/INSTANCE, checked."""
    service, slash, instance = text.partition("/")
    if not service or not slash or not instance or "/" in instance:
        raise ValueError(f"got {text!r}, want SERVICE/INSTANCE")
    return text


COMMANDS = (
    part.part_command(
        "sidecar",
        "hydro_services.proxy.sidecar",
        (
            "hydro sidecar manager/manager --xds 127.0.0.1:8072 --egress 127.0.0.1:8073",
            "hydro sidecar serving-scikit/scikit-1 --xds 10.0.0.5:8082 --join scikit.json",
        ),
        (
            Option(
                "SERVICE/INSTANCE",
                "the process that it stands beside, such as serving-scikit/scikit-1 or "
                "manager/manager",
                parse_process,
                field="process",
            ),
            *managers("the manager's sidecar; beside the manager: the manager's process"),
            address("egress", EGRESS, "where its process reaches all others, on loopback"),
            folder("data", ".hydro/sidecar", "for its files, one folder for each Envoy"),
            token_file(),
            JOIN,
            address("admin", ANY_PORT, "its admin API; port 0: any free one"),
        ),
    ),
)
