"""The command line; the only package that prints. One module a command.

Exit codes: 0 done, 1 failed while running, 2 wrong usage or a wrong setting.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from kiroproxy import __version__
from kiroproxy.cli import login, logout, server
from kiroproxy.errors import ConfigError, KiroProxyError

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

_EXAMPLES = """\
examples:
  kiroproxy                      serve your own Kiro sign-in on http://127.0.0.1:8080
  kiroproxy server 9000 my-key   the same on another port, with a key of your choice
  kiroproxy login                sign in to Kiro with a code, and keep the sign-in
  kiroproxy server --demo        serve a built-in simulator of the service; no account needed
"""

COMMANDS = {"server": server, "login": login, "logout": logout}
"""Name → module with ``add(commands)``, which adds its parser and sets ``run``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(_with_default_command(sys.argv[1:] if argv is None else argv))
    try:
        run: Callable[[argparse.Namespace], int] = arguments.run
        return run(arguments)
    except ConfigError as error:
        print(f"kiroproxy: {error.message}", file=sys.stderr)
        return EXIT_USAGE
    except KiroProxyError as error:
        print(f"kiroproxy: {error.message}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return server.INTERRUPTED


def _with_default_command(argv: Sequence[str]) -> list[str]:
    """``server`` may be left out: ``kiroproxy --demo``, ``kiroproxy 9000`` and plain ``kiroproxy``
    serve. Any other word is a command, known or not."""
    first = argv[0] if argv else "--"
    if first in ("-h", "--help", "--version") or not (first.startswith("-") or first.isdigit()):
        return list(argv)
    return ["server", *argv]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kiroproxy",
        description="The Anthropic and OpenAI APIs in front of your Kiro account.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kiroproxy {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS.values():
        module.add(commands)
    return parser
