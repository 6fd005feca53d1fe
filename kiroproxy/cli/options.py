"""What the commands' parsers share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from kiroproxy.cli.helping import HelpFormatter
from kiroproxy.cli.settings import add_state_dir


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    *,
    more: str = "",
    examples: str,
) -> argparse.ArgumentParser:
    """A command's parser. ``summary`` is its line in the list, ``more`` follows it in its own help."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {more}".strip(),
        epilog=f"examples:\n{examples}",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_account(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument("account", nargs="?", default="", metavar="ACCOUNT", help=meaning)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as one JSON document")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The flags that ``load_config`` looks at."""
    add_state_dir(parser)
