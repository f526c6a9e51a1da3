"""`hydro repository`: a repository alone."""

from __future__ import annotations

from hydro_services.cli import part
from hydro_services.cli.command import Option
from hydro_services.cli.options import (
    LISTEN,
    METRICS,
    MODELS,
    REGISTRATION,
    SIDECAR,
    STORE_BYTES,
    folder,
)

COMMANDS = (
    part.part_command(
        "repository",
        "hydro_services.repository.process",
        (
            "hydro repository --models /srv/models",
            "hydro repository --models models,s3://bucket/models",
            "hydro repository --instance two --xds 127.0.0.1:8073 --sidecar 10.0.0.6:8084",
        ),
        (
            MODELS,
            folder(
                "data",
                ".hydro/repository",
                "where it keeps which folder has a model's name, and copies from stores",
            ),
            STORE_BYTES,
            Option("--instance", "its name, the same after a restart", default="repository"),
            LISTEN,
            METRICS,
            SIDECAR,
            *REGISTRATION,
        ),
    ),
)
