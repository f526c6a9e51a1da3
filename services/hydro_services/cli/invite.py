"""`hydro invite`: lets a part on another machine join."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hydro_services.cli.command import Command, seconds
from hydro_services.cli.output import Output


@dataclass(frozen=True, slots=True)
class Options:
    """Whom to invite, and for how long."""

    service: str
    ca: Path
    expires_s: float
    out: Path
    json: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "service", metavar="SERVICE", help="a runtime service, repository, or gateway"
    )
    parser.add_argument(
        "--ca",
        type=Path,
        default=Path(".hydro/manager/ca"),
        metavar="DIR",
        help="the mesh's authority, as the manager has it (default: %(default)s)",
    )
    parser.add_argument(
        "--expires",
        dest="expires_s",
        type=seconds,
        default="3600",
        metavar="SECONDS",
        help="how long it lets join; who has joined stays (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write it")


def run(options: Options, output: Output) -> int:
    """Writes the file."""
    from hydro_services.errors import NotFound
    from hydro_services.security.certificates import Authority
    from hydro_services.up.invitations import invite

    if not (options.ca / "ca.pem").exists():
        way_out = "run this beside the manager, or name its folder with --ca"
        raise NotFound(f"no authority in {options.ca}; {way_out}")
    life = timedelta(seconds=options.expires_s)
    invite(Authority.open(options.ca), options.service, life, options.out)
    if output.json:
        output.value({"file": str(options.out), "expires_s": options.expires_s})
    else:
        output.note(f"{options.out} lets {options.service} join for {options.expires_s:g} s")
    return 0


COMMANDS = (
    Command(
        "invite",
        "let a part on another machine join a mesh with sidecars",
        (
            "hydro invite serving-scikit --out scikit.json",
            "hydro invite gateway --ca /var/lib/hydro/manager/ca --expires 600 --out gateway.json",
        ),
        add_arguments,
        Options,
        run,
        "Writes a file with the authority's certificate and a secret that lets any instance of\n"
        "the service get a first certificate. Bring it there by a safe way, and give it by --join.",
    ),
)
