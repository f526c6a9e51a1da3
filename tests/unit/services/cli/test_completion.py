"""What may come next on a command line."""

from __future__ import annotations

import pytest

from hydro_services.cli import main as cli
from hydro_services.cli.completion import candidates
from hydro_services.cli.parser import SUMMARIES, commands_of

COMMANDS = [command for noun in SUMMARIES for command in commands_of(noun)]


def words_after(line: str) -> list[str]:
    return [word for word, _ in candidates(line.split())]


def test_commands_come_first() -> None:
    assert words_after("")[:-2] == list(SUMMARIES)


def test_verbs_follow_a_noun_that_has_some() -> None:
    assert words_after("pipelines") == ["list", "get", "apply", "plan", "delete"]
    assert "--manager-port" in words_after("up")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_every_option_of_every_command_is_known(command: object) -> None:
    from hydro_services.cli.command import Command

    assert isinstance(command, Command)
    named = {option.name for option in command.all_options if not option.is_argument}
    assert set(words_after(command.name)) == named | {"--help"}


def test_an_option_is_offered_once_unless_it_may_be_given_again() -> None:
    after = words_after("up --json --runtime serving-scikit --host ::1")
    assert "--runtime" in after
    assert not {"--json", "--host"} & set(after)
    assert "--file" not in words_after("pipelines apply -f p.json")


def test_the_value_of_an_option_is_one_of_its_choices_or_the_shells_to_complete() -> None:
    assert words_after("up --access") == ["anyone", "keys"]
    assert words_after("up --models") == []
    assert "--models" in words_after("up --json")


@pytest.mark.parametrize("line", ["frob", "pipelines frob", "frob list"])
def test_after_what_is_unknown_comes_nothing(line: str) -> None:
    assert words_after(line) == []


def test_the_words_that_begin_alike_are_written_with_their_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["completion", "words", "--", "mo"]) == 0
    assert capsys.readouterr().out == f"models\t{SUMMARIES['models']}\n"
    assert cli.main(["completion", "words", "--json", "--", "pipelines", "p"]) == 0
    assert capsys.readouterr().out == '["plan"]\n'
