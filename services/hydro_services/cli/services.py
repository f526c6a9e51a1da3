"""`hydro services`: who is registered with the manager."""

from __future__ import annotations

from hydro_services.cli import render
from hydro_services.cli.command import Command
from hydro_services.cli.output import Output
from hydro_services.cli.pipelines import Options, call, manager_argument


def list_services(options: Options, output: Output) -> int:
    services = call(options, lambda manager: manager.list_services())
    if output.json:
        output.value([render.as_json(service) for service in services])
        return 0
    rows = [
        (
            service.name,
            e.instance,
            e.address,
            "ready" if e.ready else "not ready",
            " ".join(e.formats),
        )
        for service in services
        for e in service.endpoints
    ]
    output.table(("service", "instance", "address", "state", "formats"), rows)
    return 0


COMMANDS = (
    Command(
        "services list",
        "list services and their endpoints",
        ("hydro services list", "hydro services list --json"),
        manager_argument,
        Options,
        list_services,
    ),
)
