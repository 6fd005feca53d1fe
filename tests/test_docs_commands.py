"""docs/commands.md names every command and flag there is, and no other."""

import argparse
import re
import tomllib
from pathlib import Path

import pytest

from kiroproxy.cli import COMMANDS, parser
from kiroproxy.cli.completion import Command, commands_of
from kiroproxy.simulator.scenarios import parse

PAGE = (Path(__file__).parent.parent / "docs" / "commands.md").read_text("utf-8")
INTRODUCTION, *SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
BY_NAME = {section.split("\n", 1)[0]: section for section in SECTIONS}
COMMON = {"--help", "--config", "--state-dir"}  # said once, in the introduction


def command(name: str) -> Command:
    return next(one for one in commands_of(parser()) if one.name == name)


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def test_a_section_for_each_command_in_their_order() -> None:
    assert list(BY_NAME) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_and_argument_is_named(name: str) -> None:
    one = command(name)
    own = {flag for option in one.options for flag in option.names if flag.startswith("--")}
    assert own - COMMON <= flags(BY_NAME[name])
    shown = set(re.findall(r"[A-Z]{3,}", BY_NAME[name]))
    for value in one.arguments:
        assert value.metavar in shown or set(value.choices) <= set(
            re.findall(r"\w+", BY_NAME[name])
        )


def test_no_flag_is_named_that_nobody_has() -> None:
    known = {flag for one in commands_of(parser()) for o in one.options for flag in o.names}
    assert flags(PAGE) - known == set()
    assert COMMON <= flags(INTRODUCTION)


def test_exit_codes_are_those_of_the_program() -> None:
    from kiroproxy import cli

    documented = set(map(int, re.findall(r"^\| (\d+) \|", INTRODUCTION, flags=re.MULTILINE)))
    assert documented == {
        value
        for name, value in vars(cli).items()
        if name.startswith("EXIT_") and isinstance(value, int)
    }


def test_the_scenario_shown_can_be_played() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", BY_NAME["simulate"], flags=re.DOTALL)
    made = parse(tomllib.loads(shown), "docs").simulator()
    assert made.account("social").exhausted and made.faults.pending == 1


def test_examples_in_help_name_real_flags() -> None:
    for name in COMMANDS:
        subparsers = next(
            a for a in parser(name)._actions if isinstance(a, argparse._SubParsersAction)
        )
        text = subparsers.choices[name].format_help()
        lines = [line for line in text.splitlines() if line.startswith(f"  kiroproxy {name} ")]
        own = {flag for option in command(name).options for flag in option.names}
        for line in lines:
            assert flags(line.split("|")[0]) <= own, line
