"""Reads a command line: which command its words name, and the values of its options."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from hydro_services.cli.usage import UsageError

if TYPE_CHECKING:
    from hydro_services.cli.command import Command, Option

SUMMARIES = {
    "deploy": "bring a saved model to serve: its folder, its pipeline, and a first answer",
    "undeploy": "take a deployed model and its pipeline away",
    "demo": "run the whole mesh with example models, and send rows through them",
    "init": "make a folder of models with a commented example",
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
    "completion": "complete words of hydro in a shell",
}
"""Each is in a module of its name, which is imported only when it is asked for: `hydro --help` and
`hydro predict` start without numpy."""
EXAMPLES = (
    "hydro up",
    "hydro deploy churn.joblib --example rows.csv",
    "hydro predict churn rows.json",
)


class _Help(argparse.RawDescriptionHelpFormatter):
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
        reason = message.removeprefix("argument COMMAND: ")
        raise UsageError(f"{reason}; see {self.prog} --help")


def parse(words: Sequence[str]) -> tuple[Command, Any]:
    """The command that the words name, and what it is to run with.

    Raises:
        UsageError: there is none, or its options make no sense.
        SystemExit: help or the version was asked for and printed.
    """
    parser = _Parser(
        prog="hydro",
        description="A streaming serving mesh for models.",
        epilog=_examples_text(EXAMPLES),
        formatter_class=_Help,
    )
    parser.add_argument(
        "-V", "--version", action=_Version, nargs=0, help="show the version and exit"
    )
    nouns = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in SUMMARIES.items():
        nouns.add_parser(name, help=summary, add_help=False).set_defaults(noun=name)
    # In two steps, so that only the module of the command that was asked for is imported.
    noun: str = parser.parse_args(words[:1]).noun
    return _parse_noun(noun, words[1:])


def commands_of(noun: str) -> Sequence[Command]:
    """`up` alone has one command; `pipelines` has one for each verb."""
    commands: Sequence[Command] = importlib.import_module(f"hydro_services.cli.{noun}").COMMANDS
    return commands


def _parse_noun(noun: str, words: Sequence[str]) -> tuple[Command, Any]:
    commands = commands_of(noun)
    if commands[0].name == noun:
        parser = _Parser(**_help_texts(commands[0]))
        _add_options(parser, commands[0])
    else:
        parser = _Parser(prog=f"hydro {noun}", description=SUMMARIES[noun])
        verbs = parser.add_subparsers(metavar="COMMAND", required=True)
        for command in commands:
            verb = command.name.removeprefix(noun).strip()
            _add_options(
                verbs.add_parser(verb, help=command.summary, **_help_texts(command)), command
            )
    given = vars(parser.parse_args(words))
    chosen: Command = given.pop("command")
    return chosen, chosen.make(**_option_values(chosen, given, os.environ))


def _option_values(
    command: Command, given: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    return {
        option.key: option.value(given[option.key], environment) for option in command.all_options
    }


def _help_texts(command: Command) -> dict[str, Any]:
    about = f"{command.summary}\n\n{command.about}" if command.about else command.summary
    return {
        "prog": f"hydro {command.name}",
        "description": about,
        "epilog": _examples_text(command.examples),
        "formatter_class": _Help,
    }


def _examples_text(examples: Sequence[str]) -> str:
    return "\n".join(["examples:", *(f"  {example}" for example in examples)])


def _add_options(parser: argparse.ArgumentParser, command: Command) -> None:
    for option in command.all_options:
        parser.add_argument(*option.names, **_argument_settings(option))
    parser.set_defaults(command=command)


def _argument_settings(option: Option) -> dict[str, Any]:
    """Arguments of `add_argument`. Its default is None, for nothing given: see `Option.value`."""
    settings: dict[str, Any] = {"help": option.full_help.replace("%", "%%")}
    if not option.is_argument:
        settings |= {"dest": option.key, "required": option.is_required}
    if option.is_flag:
        return settings | {"action": "store_const", "const": True}
    if option.is_repeatable:
        settings["action"] = "append"
    for name in ("nargs", "const", "choices"):
        if value := getattr(option, name):
            settings[name] = value
    metavar = option.metavar or (option.name if option.is_argument else None)
    return settings | {"type": _argument_type(option.parse_word), "metavar": metavar}


def _argument_type(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse` with its message in argparse's own error, which names the option as well."""

    def parse_argument(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_argument
