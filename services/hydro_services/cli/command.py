"""What a command is: the words that it takes, and what it does with them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydro_services.cli.output import Output
from hydro_services.cli.usage import UsageError

NOTHING = object()
"""What an empty text on the command line stands for: no value, whatever the environment has."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option such as `--manager HOST:PORT`, or an argument such as `NAME`."""

    name: str
    """"--manager"; without dashes it is an argument."""
    help: str
    parse: Callable[[str], Any] = str
    """The value of a text; raises ValueError with what it got and what it wants."""
    metavar: str | None = None
    default: Any = None
    """A text that is not empty is parsed, as if it had been given; anything else is the value."""
    shown_default: str = ""
    """The default as help shows it, if it is not a text."""
    field: str = ""
    """The name that the value has for `Command.make`; empty: that of the option."""
    variable: str | None = None
    """Of the environment, which sets it as well; None: HYDRO_ and the name; empty: none does."""
    parse_variable: Callable[[str], Any] | None = None
    """For a variable that does not hold the same as the option."""
    short: str = ""
    """For example "-f"."""
    choices: tuple[str, ...] = ()
    nargs: str | None = None
    """As in argparse."""
    const: Any = None
    """The value where `nargs` is "?" and nothing follows."""
    is_flag: bool = False
    is_repeatable: bool = False
    is_joined: bool = False
    """It is repeatable, and each text is a tuple: the value has all of theirs, each once."""
    is_required: bool = False

    @property
    def is_argument(self) -> bool:
        return not self.name.startswith("-")

    @property
    def names(self) -> tuple[str, ...]:
        """As it is written, the short name first; of an argument, its key."""
        return (self.key,) if self.is_argument else tuple(filter(None, (self.short, self.name)))

    @property
    def key(self) -> str:
        """The name that the value has for `Command.make`."""
        return self.field or self.name.lstrip("-").replace("-", "_").lower()

    @property
    def environment(self) -> str:
        """The variable that sets it, or nothing."""
        if self.variable is not None:
            return self.variable
        is_repeated = self.is_repeatable and not self.is_joined
        takes_one_value = not (self.is_argument or self.is_flag or is_repeated)
        return f"HYDRO_{self.name.lstrip('-').replace('-', '_').upper()}" if takes_one_value else ""

    @property
    def full_help(self) -> str:
        """With the default and the variable."""
        default = self.shown_default or (self.default if isinstance(self.default, str) else "")
        notes = [f"default: {default}"] if default else []
        notes += [f"environment: {self.environment}"] if self.environment else []
        return f"{self.help} ({'; '.join(notes)})" if notes else self.help

    def parse_word(self, text: str) -> Any:
        """The value of a text on the command line.

        Empty stands for no value where there can be none and the environment could have one.

        Raises:
            ValueError: as `parse`.
        """
        can_be_none = self.environment and not self.default
        return NOTHING if not text and can_be_none else self.parse(text)

    def value(self, given: Any, environment: Mapping[str, str]) -> Any:
        """What was given, else what the environment has, else the default.

        Raises:
            UsageError: the environment has what cannot be parsed.
        """
        if given is NOTHING:
            return self.default
        if given is not None and self.is_joined:
            return tuple(dict.fromkeys(itertools.chain(*given)))
        if given is not None:
            return given
        if text := environment.get(self.environment, ""):
            return self._parsed_variable(text)
        is_text = isinstance(self.default, str) and self.default
        return self.parse(self.default) if is_text else self.default

    def _parsed_variable(self, text: str) -> Any:
        try:
            if self.choices and text not in self.choices:
                raise ValueError(f"got {text!r}, want one of {', '.join(self.choices)}")
            return (self.parse_variable or self.parse)(text)
        except ValueError as error:
            raise UsageError(f"{self.environment} in the environment: {error}") from None


JSON = Option("--json", "write JSON, for programs", default=False, is_flag=True)
"""Every command has it."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its words, and what it does."""

    name: str
    """What follows `hydro`, such as "pipelines list"."""
    summary: str
    """One line, for lists of commands."""
    examples: tuple[str, ...]
    """Command lines that work, for its help."""
    options: tuple[Option, ...]
    make: Callable[..., Any]
    """Makes what `run` takes from the values by name; raises `UsageError`."""
    run: Callable[[Any, Output], int]
    """Does it, and returns the exit code."""
    about: str = ""
    """What its help says below the summary."""

    @property
    def all_options(self) -> tuple[Option, ...]:
        return (*self.options, JSON)
