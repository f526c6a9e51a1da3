"""`hydro services`: who is registered with the manager."""

from __future__ import annotations

from hydro_services.cli import render
from hydro_services.cli.command import Command
from hydro_services.cli.manager_call import ManagerOptions, call_manager
from hydro_services.cli.options import MANAGER_CALL
from hydro_services.cli.output import Output


def list_services(options: ManagerOptions, output: Output) -> int:
    services = call_manager(options, lambda manager: manager.list_services())
    if output.json:
        output.value([render.message_json(service) for service in services])
        return 0
    rows = [
        (
            service.name,
            endpoint.instance,
            endpoint.address,
            "ready" if endpoint.ready else "not ready",
            " ".join(endpoint.formats),
        )
        for service in services
        for endpoint in service.endpoints
    ]
    output.table(("service", "instance", "address", "state", "formats"), rows)
    return 0


COMMANDS = (
    Command(
        "services list",
        "list services and their endpoints",
        ("hydro services list", "hydro services list --json"),
        MANAGER_CALL,
        ManagerOptions,
        list_services,
    ),
)
