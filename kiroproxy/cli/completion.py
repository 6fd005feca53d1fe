"""``kiroproxy completion``: what a shell needs to complete our lines, made from the parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from kiroproxy.cli.options import add_command
from kiroproxy.cli.terminal import say

_EXAMPLES: Final = """\
  eval "$(kiroproxy completion bash)"                         in ~/.bashrc
  eval "$(kiroproxy completion zsh)"                          in ~/.zshrc, after compinit
  kiroproxy completion fish > ~/.config/fish/completions/kiroproxy.fish
"""
_FILES: Final = frozenset({"PATH", "FILE", "NAME|FILE"})
"""Values that are files, by what the help calls them."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "completion",
        _run,
        "print the completion script of a shell",
        examples=_EXAMPLES,
    )
    parser.add_argument("shell", choices=tuple(_SCRIPTS), metavar="SHELL", help="bash, zsh or fish")


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli import parser

    for line in _SCRIPTS[arguments.shell](commands_of(parser())):
        say(line)
    return 0


# --- what there is ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    """An option, or a plain argument (no ``names``). ``takes``: whether a value follows, called
    ``metavar``, one of ``choices`` if there are any."""

    names: tuple[str, ...]
    help: str
    takes: bool
    metavar: str
    choices: tuple[str, ...]

    @property
    def is_file(self) -> bool:
        return self.takes and self.metavar in _FILES


@dataclass(slots=True)
class Command:
    """``name`` '' for what stands before any command."""

    name: str
    help: str
    options: list[Value] = field(default_factory=list)
    arguments: list[Value] = field(default_factory=list)


def commands_of(whole: argparse.ArgumentParser) -> list[Command]:
    """The whole program first, then its commands."""
    found = [_command("", "", whole)]
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            found += [_command(n, helps.get(n, ""), p) for n, p in action.choices.items()]
    return found


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> Command:
    command = Command(name, summary)
    formatter = parser._get_formatter()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        value = Value(
            tuple(action.option_strings),
            formatter._expand_help(action) if action.help else "",
            action.nargs != 0,
            str(action.metavar or action.dest.upper()),
            tuple(str(choice) for choice in action.choices or ()),
        )
        (command.options if value.names else command.arguments).append(value)
    return command


# --- bash ---------------------------------------------------------------------------------------


def bash(commands: list[Command]) -> Iterator[str]:
    """Works in bash 3.2, which macOS has."""
    whole, *others = commands
    server = next(command for command in others if command.name == "server")
    first = [*(command.name for command in others), *_flags(whole), *_flags(server)]
    yield "_kiroproxy() {"
    yield "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}"
    yield "  local command=${COMP_WORDS[1]} words= files= IFS=$' \\t\\n'"
    yield "  if [[ $cur == '=' ]]; then cur="
    yield "  elif [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi"
    yield "  if [[ $COMP_CWORD -eq 1 ]]; then"
    yield f"    words='{_words(first)}' command="
    yield "  fi"
    yield "  [[ $command == -* ]] && command=server"
    yield "  case $command in"
    for command in others:
        yield f"    {command.name})"
        yield "      case $prev in"
        for option in command.options:
            if option.takes:
                names = "|".join(option.names)
                yield f"        {names}) {_bash_value(option)} ;;"
        plain = [choice for value in command.arguments for choice in value.choices]
        files = "files=1" if any(value.is_file for value in command.arguments) else ""
        yield f"        *) words='{_words([*_flags(command), *plain])}' {files} ;;"
        yield "      esac ;;"
    yield "  esac"
    yield '  COMPREPLY=($(compgen -W "$words" -- "$cur"))'
    yield "  if [[ $files ]]; then"
    yield "    IFS=$'\\n'"
    yield '    COMPREPLY+=($(compgen -f -- "$cur"))'
    yield "    compopt -o filenames 2>/dev/null"
    yield "  fi"
    yield "}"
    yield "complete -F _kiroproxy kiroproxy"


def _bash_value(option: Value) -> str:
    if option.choices:
        return f"words='{_words(option.choices)}'"
    return "files=1" if option.is_file else "return"


def _flags(command: Command) -> list[str]:
    return [name for option in command.options for name in option.names]


def _words(words: list[str] | tuple[str, ...]) -> str:
    """For one quoted word list. Ours hold nothing that a shell would change; a new one that does is
    our mistake, and left out."""
    plain = [word for word in words if all(c.isalnum() or c in "-_.+:" for c in word)]
    return " ".join(dict.fromkeys(plain))


# --- zsh ----------------------------------------------------------------------------------------


def zsh(commands: list[Command]) -> Iterator[str]:
    """For ``eval``, or as a file ``_kiroproxy`` in fpath."""
    whole, *others = commands
    yield "#compdef kiroproxy"
    yield "_kiroproxy() {"
    yield "  local -a commands"
    yield "  commands=("
    for command in others:
        yield f"    {_quoted(f'{command.name}:{command.help}')}"
    yield "  )"
    yield "  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then"
    yield "    _describe -t commands command commands"
    yield "    return"
    yield "  fi"
    yield "  local command=$words[2]"
    yield "  if [[ $command == -* ]]; then command=server; else shift words; (( CURRENT-- )); fi"
    yield "  case $command in"
    for command in others:
        values = [*command.options, *(whole.options[1:] if command.name == "server" else ())]
        specs = [spec for option in values for spec in _zsh_option(option)]
        specs += [f"{n}:{_zsh_action(v)}" for n, v in enumerate(command.arguments, 1)]
        yield f"    {command.name}) _arguments {' '.join(_quoted(spec) for spec in specs)} ;;"
    yield "  esac"
    yield "}"
    yield 'if [[ $funcstack[1] == _kiroproxy ]]; then _kiroproxy "$@"'
    yield "else compdef _kiroproxy kiroproxy; fi"


def _zsh_option(option: Value) -> Iterator[str]:
    text = "".join(f"\\{c}" if c in "[]:\\" else c for c in option.help)
    for name in option.names:
        value = f":{_zsh_action(option)}" if option.takes else ""
        yield f"{name}{'=' if option.takes and name.startswith('--') else ''}[{text}]{value}"


def _zsh_action(value: Value) -> str:
    title = value.metavar.replace(":", "\\:")
    if value.choices:
        return f"{title}:({' '.join(value.choices)})"
    if value.is_file:
        return f"{title}:_files"
    # A message keeps zsh from inserting anything: of an argument it must not stand beside a flag.
    return f"{title}: " if value.names else f'{title}:_guard "[^-]*" {title}'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish ---------------------------------------------------------------------------------------


def fish(commands: list[Command]) -> Iterator[str]:
    """One line for each thing that can be completed."""
    whole, *others = commands
    seen = " ".join(command.name for command in others)
    none_yet = f"not __fish_seen_subcommand_from {seen}"
    yield "complete -c kiroproxy -f"
    for command in others:
        yield f"{_fish(none_yet)} -a {command.name} -d {_fish_quoted(command.help)}"
    for option in whole.options:
        yield _fish_option(none_yet, option)
    for command in others:
        here = f"__fish_seen_subcommand_from {command.name}"
        when = f"{here}; or {none_yet}" if command.name == "server" else here
        for option in command.options:
            if option.names[0] not in ("-h", "--help") or command.name != "server":
                yield _fish_option(when, option)
        for value in command.arguments:
            if value.choices:
                yield f"{_fish(here)} -a {_fish_quoted(' '.join(value.choices))}"
            elif value.is_file:
                yield f"{_fish(here)} -F"


def _fish(condition: str) -> str:
    return f"complete -c kiroproxy -n {_fish_quoted(condition)}"


def _fish_option(condition: str, option: Value) -> str:
    names = " ".join(
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
    )
    value = ""
    if option.choices:
        value = f" -x -a {_fish_quoted(' '.join(option.choices))}"
    elif option.takes:
        value = " -r -F" if option.is_file else " -x"
    return f"{_fish(condition)} {names}{value} -d {_fish_quoted(option.help)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_SCRIPTS: Final[dict[str, Callable[[list[Command]], Iterator[str]]]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
}
