"""Finds the command that the words name, runs it, and turns failures into exit codes.

Those are 0: done; 1: it failed, or some rows did; 2: the command line makes no sense; 3: the part
that was to be called could not be reached; 130: Ctrl-C.

A noun's module is imported only when it is asked for: `hydro --help` and `hydro predict` start
without numpy.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from hydro_services.cli.command import Command, UsageError
from hydro_services.cli.output import Output

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3

NOUNS = {
    "up": "run the whole mesh on this machine",
    "predict": "send rows through a pipeline",
    "pipelines": "list, get, apply, plan and delete pipelines",
    "models": "list, show and trust models",
    "keys": "create, list and revoke API keys, and make the admin key",
    "top": "show live what the mesh is doing",
    "services": "list services and their endpoints",
    "score": "run one model offline, without servers",
    "manager": "run a manager alone",
    "repository": "run a repository alone",
    "runtime": "run a runtime alone",
    "gateway": "run an Envoy alone",
    "sidecar": "run the Envoy beside a process",
    "invite": "let a part on another machine join a mesh with sidecars",
}
EXAMPLES = ("hydro up --models models", "hydro predict endpointML rows.json")


class _Help(argparse.RawTextHelpFormatter):
    """Leaves room for the longest command's name."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)


class _Version(argparse.Action):
    """Prints the version of the installed distribution; it is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"hydro {version('hydro-serving')}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Says how to get help instead of printing the whole usage."""

    def error(self, message: str) -> NoReturn:
        told = message.removeprefix("argument COMMAND: ")
        raise UsageError(f"{told}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """The command `hydro`."""
    _open_standard_streams()
    words = sys.argv[1:] if argv is None else argv
    output = Output("--json" in words)
    try:
        command, options = parse(words)
        return command.run(options, dataclasses.replace(output, json=options.json))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return _failed(error, output)


def _open_standard_streams() -> None:
    """Those that the caller has closed: else the next file or connection would be one of them."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
            os.set_inheritable(fd, True)
            setattr(sys, name, os.fdopen(fd, "w" if fd else "r", closefd=False))


def parse(words: Sequence[str]) -> tuple[Command, Any]:
    """The command that the words name, with its options.

    Raises:
        UsageError: there is none, or its options make no sense.
        SystemExit: help or the version was asked for and printed.
    """
    parser = _Parser(
        prog="hydro",
        description="A streaming serving mesh for models.",
        epilog=_epilog(EXAMPLES),
        formatter_class=_Help,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    nouns = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in NOUNS.items():
        nouns.add_parser(name, help=summary, add_help=False).set_defaults(noun=name)
    noun: str = parser.parse_args(words[:1]).noun
    return _parse_noun(noun, words[1:])


def _parse_noun(noun: str, words: Sequence[str]) -> tuple[Command, Any]:
    commands: Sequence[Command] = importlib.import_module(f"hydro_services.cli.{noun}").COMMANDS
    if commands[0].name == noun:
        parser = _Parser(**_texts(commands[0]))
        _fill(parser, commands[0])
    else:
        parser = _Parser(prog=f"hydro {noun}", description=NOUNS[noun])
        verbs = parser.add_subparsers(metavar="COMMAND", required=True)
        for command in commands:
            verb = command.name.removeprefix(noun).strip()
            _fill(verbs.add_parser(verb, help=command.summary, **_texts(command)), command)
    arguments = vars(parser.parse_args(words))
    chosen: Command = arguments.pop("command")
    return chosen, chosen.options(**arguments)


def _texts(command: Command) -> dict[str, Any]:
    about = f"{command.summary}\n\n{command.about}" if command.about else command.summary
    return {
        "prog": f"hydro {command.name}",
        "description": about,
        "epilog": _epilog(command.examples),
        "formatter_class": _Help,
    }


def _fill(parser: argparse.ArgumentParser, command: Command) -> None:
    command.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")
    parser.set_defaults(command=command)


def _epilog(examples: Sequence[str]) -> str:
    return "\n".join(["examples:", *(f"  {example}" for example in examples)])


def _failed(error: Exception, output: Output) -> int:
    """Tells of a failure and the way out; of a bug without its traceback."""
    if isinstance(error, UsageError) and not output.json:  # errors know gRPC, which takes a while
        output.error(str(error))
        return USAGE
    from hydro_services import errors
    from hydro_services.cli.failures import expected
    from hydro_services.up.process import NEWER_VERSION

    told = expected(error)
    if isinstance(told, errors.Internal) and told is not error:
        if os.environ.get("HYDRO_DEBUG"):
            raise error
        told.message += "; run again with HYDRO_DEBUG=1 and report it"
    output.error(told.message, errors.as_json(errors.to_status(told)))
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(told, errors.NewerVersion):
        return NEWER_VERSION
    is_away = isinstance(told, errors.Unreachable | errors.CannotConnect)
    return UNREACHABLE if is_away else FAILED


if __name__ == "__main__":
    sys.exit(main())
