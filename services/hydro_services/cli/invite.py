"""`hydro invite`: lets a part on another machine join."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hydro_services.cli import values
from hydro_services.cli.command import Command, Option
from hydro_services.cli.options import folder
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES


@dataclass(frozen=True, slots=True)
class InviteOptions:
    """Whom to invite, and for how long."""

    service: str
    ca: Path
    expires_s: float
    out: Path
    json: bool = False


def write_invitation(options: InviteOptions, output: Output) -> int:
    """Writes the file."""
    from hydro_services.errors import NotFound
    from hydro_services.security.certificates import Authority
    from hydro_services.up.invitations import invite

    if not (options.ca / "ca.pem").exists():
        way_out = "run this beside the manager, or name its folder with --ca"
        raise NotFound(f"no authority in {options.ca}; {way_out}")
    validity = timedelta(seconds=options.expires_s)
    invite(Authority.open(options.ca), options.service, validity, options.out)
    if output.json:
        output.value({"file": str(options.out), "expires_s": options.expires_s})
    else:
        output.note(f"{options.out} lets {options.service} join for {options.expires_s:g} s")
    return 0


COMMANDS = (
    Command(
        "invite",
        SUMMARIES["invite"],
        (
            "hydro invite serving-scikit --out scikit.json",
            "hydro invite gateway --ca /var/lib/hydro/manager/ca --expires 600 --out gateway.json",
        ),
        (
            Option("SERVICE", "a runtime service, repository, or gateway"),
            folder("ca", ".hydro/manager/ca", "the mesh's authority, as the manager has it"),
            Option(
                "--expires",
                "how long the invitation lets parts join; those that have joined stay",
                values.seconds,
                "SECONDS",
                "3600",
                field="expires_s",
                variable="",
            ),
            Option("--out", "where to write it", Path, "FILE", variable="", is_required=True),
        ),
        InviteOptions,
        write_invitation,
        "Writes a file with the authority's certificate and a secret, with which any instance of\n"
        "the service gets its first certificate. Bring the file there by a safe way, and give it\n"
        "with --join.",
    ),
)
