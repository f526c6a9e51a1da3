"""`hydro completion`: completes words of `hydro` in a shell.

The scripts ask `hydro completion words` at each TAB, so they know the options of the version that
is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hydro_services.cli import parser
from hydro_services.cli.command import Command, Option
from hydro_services.cli.output import Output

BASH = """\
_hydro() {
  local IFS=$'\\n'
  COMPREPLY=($(hydro completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _hydro hydro
"""
ZSH = """\
#compdef hydro
_hydro() {
  local -a lines
  lines=("${(@f)$(hydro completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${lines[1]}" ]]; then
    lines=("${(@)lines//:/\\\\:}")
    lines=("${(@)lines/$'\\t'/:}")
    _describe hydro lines
  else
    _files
  fi
}
compdef _hydro hydro
"""
FISH = """\
function __hydro
    set -l lines (hydro completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)
    if test -n "$lines[1]"
        printf '%s\\n' $lines
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c hydro -f -a '(__hydro)'
"""


@dataclass(frozen=True, slots=True)
class CompletionOptions:
    """Of all but `words`."""

    json: bool


@dataclass(frozen=True, slots=True)
class WordsOptions(CompletionOptions):
    """The words so far, the last of which is to be completed and may be empty."""

    words: Sequence[str]


def complete_words(options: WordsOptions, output: Output) -> int:
    last = options.words[-1] if options.words else ""
    found = [(word, help) for word, help in candidates(options.words[:-1]) if word.startswith(last)]
    if output.json:
        output.value([word for word, _ in found])
    else:
        output.data("".join(f"{word}\t{help}\n" for word, help in found))
    return 0


def candidates(
    words: Sequence[str], commands_of: Callable[[str], Sequence[Command]] = parser.commands_of
) -> Iterator[tuple[str, str]]:
    """What may follow the words, each with its help; nothing where a file or a name does."""
    if not words:
        yield from parser.SUMMARIES.items()
        yield "--version", "show the version and end"
        yield "--help", "show help and exit"
    elif words[0] in parser.SUMMARIES:
        yield from _after_noun(commands_of(words[0]), words)


def _after_noun(commands: Sequence[Command], words: Sequence[str]) -> Iterator[tuple[str, str]]:
    chosen = [c for c in commands if c.name.split() == list(words[: len(c.name.split())])]
    if not chosen:
        if len(words) == 1:
            for command in commands:
                yield command.name.split()[1], command.summary
        return
    (command,) = chosen
    yield from _after_command(command, words[len(command.name.split()) :])


def _after_command(command: Command, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    options = [option for option in command.all_options if not option.is_argument]
    if awaiting := _option_awaiting_value(options, words):
        yield from ((choice, "") for choice in awaiting.choices)
        return
    for option in options:
        if option.is_repeatable or not set(option.names) & set(words):
            yield option.name, option.help
    yield "--help", "show help and exit"


def _option_awaiting_value(options: Sequence[Option], words: Sequence[str]) -> Option | None:
    """The option of which the next word is the value."""
    for option in options:
        if words and words[-1] in option.names and not option.is_flag:
            return option
    return None


def _script(shell: str, text: str, *examples: str) -> Command:
    def write(_: CompletionOptions, output: Output) -> int:
        output.data(text)
        return 0

    summary = f"write the script that completes in {shell}"
    return Command(f"completion {shell}", summary, examples, (), CompletionOptions, write)


COMMANDS = (
    _script(
        "bash",
        BASH,
        'eval "$(hydro completion bash)"    # in ~/.bashrc',
        "hydro completion bash > /etc/bash_completion.d/hydro",
    ),
    _script(
        "zsh",
        ZSH,
        'eval "$(hydro completion zsh)"    # in ~/.zshrc, after compinit',
        'hydro completion zsh > "${fpath[1]}/_hydro"',
    ),
    _script(
        "fish",
        FISH,
        "hydro completion fish | source",
        "hydro completion fish > ~/.config/fish/completions/hydro.fish",
    ),
    Command(
        "completion words",
        "write what may come next, a word and its help in each line; the scripts call it",
        ("hydro completion words -- pipelines ''", "hydro completion words -- up --access ''"),
        (
            Option(
                "WORD",
                "the words after hydro, up to the one that is completed",
                nargs="*",
                field="words",
            ),
        ),
        WordsOptions,
        complete_words,
    ),
)
