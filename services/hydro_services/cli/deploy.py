"""`hydro deploy`: from a saved model to the first answer."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydro_services.cli import values
from hydro_services.cli.command import Command, Option
from hydro_services.cli.mesh_call import MESH_CALL, MeshOptions
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES
from hydro_services.cli.usage import UsageError
from hydro_services.deployment.request import Addresses, Deployed, DeployRequest, choose_name
from hydro_services.errors import InvalidArgument

SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions(MeshOptions):
    model: str
    name: str
    example: Path | None
    trust: bool
    timeout_s: float

    @property
    def request(self) -> DeployRequest:
        return DeployRequest(
            self.model,
            self.name,
            self.example,
            self.trust,
            self.models,
            self.trusted,
            self.timeout_s,
        )


def make_options(*, model: str, name: str | None, **others: Any) -> DeployOptions:
    try:
        chosen = choose_name(model, name)
    except InvalidArgument as error:
        raise UsageError(error.message) from None
    return DeployOptions(model=model, name=chosen, **others)


def run_deploy(options: DeployOptions, output: Output) -> int:
    from hydro_services.cli.apply_progress import ApplyProgress, apply_pipeline
    from hydro_services.deployment import deploy
    from hydro_services.deployment.mesh import connect

    start = time.monotonic()
    request = options.request
    progress = ApplyProgress(request.name, Output(err=output.err))

    def tell(text: str) -> None:
        if not output.json:
            output.note(f"{time.monotonic() - start:4.1f} s  {text}")

    trust = deploy.Trust(request.is_trusted, partial(ask, output), trust_command(request))
    # Standard output has the answers alone, whatever the code of the model writes there.
    with contextlib.redirect_stdout(sys.stderr), connect(options.addresses) as mesh:
        deployed = deploy.deploy(
            request, mesh, trust, tell, partial(apply_pipeline, progress=progress)
        )
    seconds = round(time.monotonic() - start, 2)
    if output.json:
        output.value(to_json(deployed, options.addresses, seconds))
    else:
        show_deployed(deployed, options.addresses, output)
    return 0


def ask(output: Output, why: str) -> bool:
    """Asks who sits at the terminal; nobody does where there is none."""
    if output.json or not (sys.stdin.isatty() and output.err.isatty()):
        return False
    output.err.write(f"{why}, here and in the mesh. Do you trust who made it? [y/N] ")
    output.err.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def trust_command(request: DeployRequest) -> str:
    """The command that trusts the model in advance."""
    words = ["hydro", "deploy", request.model, "--name", request.name]
    words += ["--example", str(request.example)] if request.example else []
    return shlex.join([*words, "--trust"])


def show_deployed(deployed: Deployed, addresses: Addresses, output: Output) -> None:
    """The first answers, and what to paste next."""
    from hydro_services.cli.row_table import RowTable

    if deployed.answers:
        output.data("\n")
        RowTable(output).write(deployed.answers[:SHOWN_ROWS])
    output.data(f"\n{what_to_paste(deployed, addresses)}")


def what_to_paste(deployed: Deployed, addresses: Addresses) -> str:
    """The first row of the example, by curl and by Python."""
    url = serve_url(deployed, addresses)
    rows = json.dumps([*deployed.rows[:1]])
    key = ' -H "authorization: Bearer $HYDRO_API_KEY"' if addresses.api_key else ""
    quoted = shlex.quote(rows)
    header = ', "authorization": "Bearer ..."' if addresses.api_key else ""
    return f"""\
curl{key} -H 'content-type: application/json' -d {quoted} \\
  {url}

import json, urllib.request
url, headers = "{url}", {{"content-type": "application/json"{header}}}
rows = {json.loads(rows)!r}
request = urllib.request.Request(url, json.dumps(rows).encode(), headers)
print(json.load(urllib.request.urlopen(request)))
"""


def serve_url(deployed: Deployed, addresses: Addresses) -> str:
    scheme = "https" if addresses.tls else "http"
    return f"{scheme}://{addresses.gateway}/api/v1/serve/{deployed.name}"


def to_json(deployed: Deployed, addresses: Addresses, seconds: float) -> dict[str, Any]:
    return {
        "name": deployed.name,
        "version": deployed.version,
        "digest": deployed.digest,
        "format": deployed.format,
        "stage": f"{deployed.service}/{deployed.name}:{deployed.version}",
        "folder": str(deployed.folder),
        "url": serve_url(deployed, addresses),
        "rows": [*deployed.rows],
        "answers": [*deployed.answers],
        "compared": deployed.compared,
        "seconds": seconds,
    }


COMMANDS = (
    Command(
        "deploy",
        SUMMARIES["deploy"],
        (
            "hydro deploy churn.joblib --example rows.csv",
            "hydro deploy models/new --name prices --json",
            "hydro deploy churn.pkl --example rows.json --trust",
        ),
        (
            Option(
                "MODEL",
                "a file or folder that a library saved, or its URL in a store",
                field="model",
            ),
            Option(
                "--name",
                "of the model and its pipeline",
                shown_default="as the file or folder",
                variable="",
            ),
            Option(
                "--example",
                "rows as the model was fitted on: a file of JSON, NDJSON, CSV or Parquet",
                Path,
                "FILE",
                variable="",
            ),
            Option(
                "--trust",
                "let the model run code of its own, here and in the mesh",
                default=False,
                is_flag=True,
            ),
            Option(
                "--timeout",
                "how long the mesh may take to read the model, and then to load it",
                values.seconds,
                "SECONDS",
                "60",
                field="timeout_s",
                variable="",
            ),
            *MESH_CALL,
        ),
        make_options,
        run_deploy,
        "Writes the model as a new version into the repository's folder, makes or replaces the\n"
        "pipeline of its name, sends the example through it, and compares with the model in this\n"
        "process. When a step fails, all is as before: the old version serves on.",
    ),
)
