"""`hydro runtime`: a runtime alone."""

from __future__ import annotations

from hydro_services.cli import part, values
from hydro_services.cli.command import Option
from hydro_services.cli.options import (
    LISTEN,
    METRICS,
    OF_RUNTIME,
    REGISTRATION,
    SIDECAR,
    folder,
)

COMMANDS = (
    part.part_command(
        "runtime",
        "hydro_services.runtime.process",
        (
            "hydro runtime serving-scikit --xds 127.0.0.1:8073 --sidecar 10.0.0.7:8084",
            "hydro runtime serving-customscikit --trusted models/trusted.txt",
        ),
        (
            Option("SERVICE", "for example serving-scikit: the first part of a stage"),
            Option(
                "--instance",
                "its name, the same after a restart",
                default="",
                shown_default="SERVICE-HOST-PID",
            ),
            Option(
                "--formats",
                "of the models that it serves",
                values.names,
                "FORMAT,...",
                default=(),
                shown_default="those of the service of that name",
            ),
            folder("cache", ".hydro/cache", "where models are kept"),
            LISTEN,
            METRICS,
            *OF_RUNTIME,
            SIDECAR,
            *REGISTRATION,
        ),
    ),
)
