"""Options that the environment sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from hydro_services.cli.command import Command, Option
from hydro_services.cli.parser import SUMMARIES, commands_of, parse
from hydro_services.cli.usage import UsageError

COMMANDS = [command for noun in SUMMARIES for command in commands_of(noun)]
SAMPLES = {
    "--xds": "10.0.0.1:1",
    "--registry": "consul://10.0.0.1:8500",
    "--certificate-ttl": "60",
    "--cache-bytes": "5",
    "--store-bytes": "5",
    "--trace-percent": "50",
    "--tls-ca": "system",
    "--log-level": "ERROR",
    "--access": "keys",
}
"""Texts for options that do not take any; those for others follow from their names."""


def sample(option: Option) -> str:
    if option.name in SAMPLES:
        return SAMPLES[option.name]
    if option.metavar == "HOST:PORT":
        return "[::1]:7"
    return "7" if re.search(r"-port$|-limit$", option.name) else "some-text"


def arguments_for(command: Command) -> list[str]:
    """Words for what the command cannot do without."""
    words = command.name.split()
    for option in command.options:
        if option.is_argument and option.nargs is None:
            words.append("a/b")
        if option.is_required:
            words += [option.name, "out"]
    return words + ["NAME", "a/b"] * (command.name in ("pipelines apply", "pipelines plan"))


OPTIONS = [
    pytest.param(command, option, id=f"{command.name} {option.name}")
    for command in COMMANDS
    for option in command.options
    if option.environment and option.parse_variable is None
]


def value(command: Command, option: Option, words: list[str]) -> Any:
    """What the option comes to: in the configuration of a part, or of one that `up` starts."""
    options = parse(words)[1]
    for part in ("config", "manager", "runtime"):
        config = getattr(options, part, None)
        if isinstance(config, Mapping) and option.key in config:
            return config[option.key]
    return getattr(options, option.key)


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_a_variable_means_what_the_option_means(
    command: Command, option: Option, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, text = arguments_for(command), sample(option)
    monkeypatch.delenv(option.environment, raising=False)
    by_option = value(command, option, [*words, option.name, text])
    default = value(command, option, words)
    assert by_option != default

    monkeypatch.setenv(option.environment, text)
    assert value(command, option, words) == by_option
    monkeypatch.setenv(option.environment, "")
    assert value(command, option, words) == default


def test_an_option_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRO_LOG_LEVEL", "ERROR")
    assert parse(["up", "--log-level", "DEBUG"])[1].log_level == "DEBUG"


@pytest.mark.parametrize("name", ["registry", "zipkin", "trusted", "keys"])
def test_an_empty_option_takes_back_what_the_environment_has(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"HYDRO_{name.upper()}", raising=False)
    (command,) = commands_of("up")
    (option,) = [option for option in command.options if option.name == f"--{name}"]
    default = value(command, option, ["up"])
    monkeypatch.setenv(
        f"HYDRO_{name.upper()}", "consul://10.0.0.1:1" if name == "registry" else "h:1"
    )
    assert value(command, option, ["up"]) != default
    assert value(command, option, ["up", f"--{name}", ""]) == default


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        pytest.param("HYDRO_LOG_LEVEL", "LOUD", "got 'LOUD', want one of DEBUG, INFO", id="choice"),
        pytest.param("HYDRO_GATEWAY_PORT", "x", "got port 'x'", id="port"),
        pytest.param("HYDRO_ADMIN_KEY", "two words", "want one line of visible ASCII", id="key"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(
    variable: str, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(UsageError, match=f"{variable} in the environment: .*{message}"):
        parse(["up"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_no_two_options_of_a_command_share_a_variable_or_a_name(command: Command) -> None:
    for names in (
        [option.environment for option in command.all_options if option.environment],
        [option.key for option in command.all_options],
        [name for option in command.all_options for name in option.names],
    ):
        assert len(names) == len(set(names))
