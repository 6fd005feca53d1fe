"""The command line; the only package that prints. One module a command.

A module is imported only for its own command, and what is slow to import belongs inside its ``run``:
``kiroproxy authToken`` in a script shall not wait for a server's worth of code.

Exit codes: 0 done, 1 failed while running, 2 wrong usage or a wrong setting, 130 ended by Ctrl-C, 141
the reader of the output has gone (both as shells have it).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Final

from kiroproxy import __version__
from kiroproxy.cli import streams
from kiroproxy.cli.helping import HelpFormatter
from kiroproxy.errors import ConfigError, KiroProxyError

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
EXIT_INTERRUPTED, EXIT_PIPE = 130, 141

_EXAMPLES = """\
examples:
  kiroproxy                      serve your own Kiro sign-in on http://127.0.0.1:8080
  kiroproxy server 9000 my-key   the same on another port, with a key of your choice
  kiroproxy login                sign in to Kiro with a code, and keep the sign-in
  kiroproxy server --demo        serve a built-in simulator of the service; no account needed
"""
EXIT_CODES: Final = "exit codes: 0 done, 1 failed, 2 wrong usage or a wrong setting"

COMMANDS: Final = {
    "server": "server",
    "login": "login",
    "logout": "logout",
    "claude": "claude",
    "codex": "codex",
    "doctor": "doctor",
    "read": "read",
    "refresh": "refresh",
    "authToken": "auth_token",
    "export": "export",
    "accounts": "accounts",
    "usage": "usage",
    "models": "models",
    "simulate": "simulate",
    "decode": "decode",
    "completion": "completion",
}
"""Name → module of this package with ``add(commands)``, which adds its parser and sets ``run``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    streams.open_closed()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # it may be one of a caller's own
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        code = _main(_with_default_command(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except SystemExit as end:  # argparse ends the program itself after help and wrong usage
        code = end.code if isinstance(end.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except OSError as error:
        code = _not_written(error)
    return _flush() or code


def _main(argv: Sequence[str]) -> int:
    arguments = parser(argv[0] if argv else "").parse_args(argv)
    try:
        run: Callable[[argparse.Namespace], int] = arguments.run
        return run(arguments)
    except ConfigError as error:
        print(f"kiroproxy: {error.message}", file=sys.stderr)
        return EXIT_USAGE
    except KiroProxyError as error:
        print(f"kiroproxy: {error.message}", file=sys.stderr)
        return EXIT_FAILED


def _flush() -> int:
    """Write all output; the exit code if that fails, else 0."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        return _not_written(error)
    return 0


def _not_written(error: OSError) -> int:
    """The exit code for output that cannot be written. Raises any other error again."""
    if not streams.is_about_output(error):
        raise error
    streams.give_up(sys.stdout)
    try:
        if not isinstance(error, BrokenPipeError):
            print(f"kiroproxy: the output cannot be written ({error.strerror})", file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        streams.give_up(sys.stderr)
    return EXIT_PIPE if isinstance(error, BrokenPipeError) else EXIT_FAILED


def _with_default_command(argv: Sequence[str]) -> list[str]:
    """``server`` may be left out: ``kiroproxy --demo``, ``kiroproxy 9000`` and plain ``kiroproxy``
    serve. Any other word is a command, known or not."""
    first = argv[0] if argv else "--"
    if first in ("-h", "--help", "--version") or not (first.startswith("-") or first.isdigit()):
        return list(argv)
    return ["server", *argv]


def parser(command: str = "") -> argparse.ArgumentParser:
    """The parser for a line that starts with ``command``; for any other word, the whole one."""
    whole = argparse.ArgumentParser(
        prog="kiroproxy",
        description="The Anthropic and OpenAI APIs in front of your Kiro account.",
        epilog=f"{_EXAMPLES}\n{EXIT_CODES}",
        formatter_class=HelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"kiroproxy {__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    names = [command] if command in COMMANDS else COMMANDS
    for name in names if command != "--version" else ():
        importlib.import_module(f"kiroproxy.cli.{COMMANDS[name]}").add(commands)
        one: argparse.ArgumentParser = commands.choices[name]
        one.epilog = "\n".join(part for part in (one.epilog, EXIT_CODES) if part)
        one.formatter_class = HelpFormatter
    return whole
