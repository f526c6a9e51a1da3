"""What a command is, and the options that many share."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydro_services.address import Address, parse_host
from hydro_services.cli.output import Output

MANAGER = "127.0.0.1:8080"
GATEWAY = "127.0.0.1:8083"
REPOSITORY = "127.0.0.1:8087"
XDS = "127.0.0.1:8082"
EGRESS = "127.0.0.1:8073"
TOKEN = Path(".hydro/manager/token")


class UsageError(Exception):
    """The command line makes no sense; the message says what is wanted."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: how its words are read, and what it does with them."""

    name: str
    """Its words after `hydro`, such as "pipelines list"."""
    summary: str
    """One line, for lists of commands."""
    examples: tuple[str, ...]
    """Real command lines, for its help."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
    options: Callable[..., Any]
    """Makes the options from the arguments by name; raises `UsageError`."""
    run: Callable[[Any, Output], int]
    """Does it; the exit code."""
    about: str = ""
    """What its help says below the summary."""


def address(
    parser: argparse.ArgumentParser, part: str, default: str, text: str, dest: str | None = None
) -> None:
    """Adds an option for an address, such as --manager, which HYDRO_MANAGER sets as well."""
    flag, variable = f"--{part}", f"HYDRO_{part.upper()}"
    parser.add_argument(
        flag,
        dest=dest or part,
        metavar="HOST:PORT",
        type=host_port,
        default=os.environ.get(variable, default),
        help=f"{text} (default: %(default)s; environment: {variable})",
    )


def managers(parser: argparse.ArgumentParser, text: str) -> None:
    """Adds --xds for an Envoy, with one manager or more, and --registry, which finds them."""
    parser.add_argument(
        "--xds",
        metavar="HOST:PORT,...",
        type=host_ports,
        default=os.environ.get("HYDRO_XDS", XDS),
        help=f"{text}; more after commas (default: %(default)s; environment: HYDRO_XDS)",
    )
    registry(parser, "Consul's agents, to find the managers by, instead of --xds")


class _ReadKey(argparse.Action):
    """Takes a key from a file: on a command line everybody could see it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        from hydro_services.security.private_files import warn_if_readable  # errors know gRPC

        path = Path(str(values))
        try:
            text = path.read_text()
            warn_if_readable(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise argparse.ArgumentError(self, f"cannot read {path}: {reason.lower()}") from None
        setattr(namespace, self.dest, secret(text, str(path)))


def secret(text: str, where: str) -> str:
    """A key without what is around it."""
    found = text.strip()
    if not found.isascii() or not found.isprintable() or " " in found:
        raise UsageError(f"what {where} has is no key, want one line of visible ASCII")
    return found


def key_file(
    parser: argparse.ArgumentParser, name: str, text: str, dest: str | None = None
) -> None:
    """Adds an option such as --admin-key-file; HYDRO_ADMIN_KEY is then the key itself."""
    variable = f"HYDRO_{name.upper().replace('-', '_')}"
    parser.add_argument(
        f"--{name}-file",
        dest=dest or name.replace("-", "_"),
        metavar="FILE",
        action=_ReadKey,
        default=secret(os.environ.get(variable, ""), variable),
        help=f"{text} (environment: {variable}, the key itself)",
    )


def access(parser: argparse.ArgumentParser) -> None:
    """Adds what says who may call pipelines, and who may change the mesh."""
    parser.add_argument(
        "--keys",
        default=os.environ.get("HYDRO_KEYS", ""),
        metavar="FILE",
        help="API keys, watched, also in Consul (consul://HOST:PORT); see hydro keys create\n"
        "(default: none; environment: HYDRO_KEYS)",
    )
    parser.add_argument(
        "--access",
        choices=("anyone", "keys"),
        default=os.environ.get("HYDRO_ACCESS", "anyone"),
        help="who may call pipelines that do not say it: anyone, or who has an API key\n"
        "(default: %(default)s; environment: HYDRO_ACCESS)",
    )
    text = "what calls of the manager's and the repository's API then need; see hydro keys admin"
    key_file(parser, "admin-key", text)


def token_file(parser: argparse.ArgumentParser, default: Path | None = TOKEN) -> None:
    """Adds --token-file; where a manager makes it, the default is in its data folder."""
    given = os.environ.get("HYDRO_TOKEN_FILE")
    shown = "%(default)s" if given or default else "DATA/token, or with hydro up DATA/manager/token"
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        default=given or default,
        help="what parts on one machine show each other; the manager makes it, and only its\n"
        f"owner can read it (default: {shown}; environment: HYDRO_TOKEN_FILE)",
    )


def sidecar(parser: argparse.ArgumentParser) -> None:
    """Adds --sidecar, for a part that has one beside it."""
    parser.add_argument(
        "--sidecar",
        metavar="HOST:PORT",
        type=host_port,
        default=os.environ.get("HYDRO_SIDECAR"),
        help="where its sidecar takes what comes from other machines, for a part that has one;\n"
        "see hydro sidecar (environment: HYDRO_SIDECAR)",
    )


def certificate_ttl(parser: argparse.ArgumentParser) -> None:
    """Adds --certificate-ttl, for what has the mesh's authority."""
    parser.add_argument(
        "--certificate-ttl",
        dest="certificate_ttl_s",
        metavar="SECONDS",
        type=seconds,
        default="3600",
        help="with sidecars: how long certificates hold; new ones come after half of it\n"
        "(default: %(default)s)",
    )


def seconds(text: str) -> float:
    """A number of seconds, one at least."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number <= 31_536_000:
        raise argparse.ArgumentTypeError(f"got {text!r}, want seconds, from 1 to a year")
    return number


def tls(parser: argparse.ArgumentParser) -> None:
    """Adds --tls-cert and --tls-key, for a gateway."""
    for name, text in (("cert", "the certificate for clients, with its chain"), ("key", "its key")):
        parser.add_argument(
            f"--tls-{name}",
            type=Path,
            metavar="FILE",
            default=os.environ.get(f"HYDRO_TLS_{name.upper()}"),
            help=f"{text}, PEM; read again when it changes (environment: HYDRO_TLS_{name.upper()})",
        )


def join(parser: argparse.ArgumentParser) -> None:
    """Adds --join, for an Envoy that is not beside the manager."""
    parser.add_argument(
        "--join",
        metavar="FILE",
        type=Path,
        default=os.environ.get("HYDRO_JOIN"),
        help="an invitation to a mesh with sidecars; see hydro invite (environment: HYDRO_JOIN)",
    )


def listen(parser: argparse.ArgumentParser) -> None:
    """Adds --listen for a part's gRPC."""
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        type=host_port,
        default=os.environ.get("HYDRO_LISTEN", "127.0.0.1:0"),
        help="where its gRPC listens (default: %(default)s; environment: HYDRO_LISTEN)",
    )


def registry(
    parser: argparse.ArgumentParser,
    text: str = "Consul's agents, to register with instead of a manager",
) -> None:
    """Adds --registry, which HYDRO_REGISTRY sets as well."""
    parser.add_argument(
        "--registry",
        metavar="consul://HOST:PORT,...",
        type=consul,
        default=os.environ.get("HYDRO_REGISTRY", ""),
        help=f"{text}\n(environment: HYDRO_REGISTRY; CONSUL_HTTP_TOKEN for a token)",
    )


def registration(parser: argparse.ArgumentParser) -> None:
    """Adds --xds and --registry, for a part that registers with one of them."""
    text = "the manager, to register with; with --sidecar: the sidecar's egress"
    address(parser, "xds", XDS, text, dest="manager")
    token_file(parser)
    registry(parser)


def port(parser: argparse.ArgumentParser, part: str, default: int, text: str) -> None:
    """Adds an option for a port, such as --gateway-port; environment: HYDRO_GATEWAY_PORT."""
    variable = f"HYDRO_{part.upper()}_PORT"
    parser.add_argument(
        f"--{part}-port",
        metavar="PORT",
        type=port_number,
        default=os.environ.get(variable, str(default)),
        help=f"{text} (default: %(default)s; environment: {variable})",
    )


def metrics(parser: argparse.ArgumentParser) -> None:
    """Adds --metrics; environment: HYDRO_METRICS."""
    text = "where Prometheus gets /metrics; port 0: any free one, which the manager knows"
    address(parser, "metrics", "127.0.0.1:0", text)


def collector(parser: argparse.ArgumentParser) -> None:
    """Adds --zipkin and --otlp: who takes spans; environment: HYDRO_ZIPKIN, HYDRO_OTLP."""
    texts = {"zipkin": "the Zipkin server", "otlp": "the OpenTelemetry collector (OTLP over gRPC)"}
    for name, text in texts.items():
        parser.add_argument(
            f"--{name}",
            metavar="HOST:PORT",
            type=lambda given: given and host_port(given),
            default=os.environ.get(f"HYDRO_{name.upper()}", ""),
            help=f"{text} that takes spans (default: none; environment: HYDRO_{name.upper()})",
        )


def cache_bytes(parser: argparse.ArgumentParser) -> None:
    """Adds --cache-bytes."""
    parser.add_argument(
        "--cache-bytes",
        metavar="BYTES",
        type=int,
        default=os.environ.get("HYDRO_CACHE_BYTES", str(2 << 30)),
        help="how much the models of a cache may take together; those that are loaded stay\n"
        "whatever they take (default: %(default)s; environment: HYDRO_CACHE_BYTES)",
    )


def trace_percent(parser: argparse.ArgumentParser) -> None:
    """Adds --trace-percent."""
    parser.add_argument(
        "--trace-percent",
        metavar="PERCENT",
        type=percentage,
        default=os.environ.get("HYDRO_TRACE_PERCENT", "100"),
        help="of the requests that are traced, where the client has not decided\n"
        "(default: %(default)s; environment: HYDRO_TRACE_PERCENT)",
    )


def time_limits(parser: argparse.ArgumentParser) -> None:
    """Adds --header-limit, --body-limit and --idle-limit, of clients at all ports of Envoy."""
    for name, default, text in (
        ("header", "10", "for the handshake of TLS, and for a request's header"),
        ("body", "30", "for the next piece of a body, or for reading the next of an answer"),
        ("idle", "300", "for a request, on a connection without one"),
    ):
        variable = f"HYDRO_{name.upper()}_LIMIT"
        parser.add_argument(
            f"--{name}-limit",
            dest=f"{name}_limit_s",
            metavar="SECONDS",
            type=seconds,
            default=os.environ.get(variable, default),
            help=f"how long clients are waited for: {text}\n"
            f"(default: %(default)s; environment: {variable})",
        )


def access_log(parser: argparse.ArgumentParser) -> None:
    """Adds --access-log."""
    parser.add_argument(
        "--access-log",
        metavar="FILE",
        type=lambda given: given if given in ("", "-") else os.path.abspath(given),
        default=os.environ.get("HYDRO_ACCESS_LOG", ""),
        help="where Envoy writes a JSON line a request; -: its standard output\n"
        "(default: none; environment: HYDRO_ACCESS_LOG)",
    )


def percentage(text: str) -> float:
    """A number from 0 to 100."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 100:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, want a number from 0 to 100")


def host_port(text: str) -> str:
    """host:port as all write it."""
    try:
        return str(Address.parse(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def host_ports(text: str) -> str:
    """host:port, and more after commas."""
    return ",".join(map(host_port, text.split(",")))


def host(text: str) -> str:
    """An IP address, of IPv6 with or without brackets, or a name."""
    try:
        return parse_host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def consul(text: str) -> str:
    """Checks consul://host:port,…; empty: none."""
    # Errors know gRPC, which help does not need.
    from hydro_services.consul.address import addresses
    from hydro_services.errors import InvalidArgument

    try:
        if text:
            addresses(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(error.message) from None
    return text


def port_number(text: str) -> int:
    """A port, 0 for a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"got port {text!r}, want a number from 0 to 65535")
    return int(text)
