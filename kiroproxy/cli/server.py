"""``kiroproxy server``: its line. What it does is in ``serving``, which takes a while to import."""

from __future__ import annotations

import argparse

from kiroproxy.cli.helping import HelpFormatter
from kiroproxy.cli.settings import add_config
from kiroproxy.config import SETTINGS

_EXAMPLES = """\
examples:
  kiroproxy server                     on http://127.0.0.1:8080, with a key of its own
  kiroproxy server 9000 my-key         on another port, with a key of your choice
  kiroproxy server --demo              answer from a built-in simulator; no account needed
  LOG_LEVEL=debug kiroproxy server     any setting of docs/configuration.md by its name
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    server = commands.add_parser(
        "server",
        help="serve (the default command)",
        description="Serve the APIs until SIGTERM or Ctrl-C; running answers may finish.",
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter,
    )
    server.add_argument("port", nargs="?", metavar="PORT", help="as --port")
    server.add_argument("key", nargs="?", metavar="KEY", help="as --key")
    server.add_argument(
        "--demo", action="store_true", help="answer from a built-in simulator, without an account"
    )
    add_config(server)
    for setting in SETTINGS:
        if setting.flag:
            server.add_argument(
                setting.flag,
                dest=setting.name,
                metavar=setting.unit.upper(),
                help=f"{setting.meaning} ({setting.name}, default {setting.default or 'none'})",
            )
    server.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli import serving

    given = vars(arguments)
    flags = {s.name: given[s.name] for s in SETTINGS if s.flag and given[s.name] is not None}
    if arguments.port is not None:
        flags.setdefault("PORT", arguments.port)
    if arguments.key is not None:
        flags.setdefault("KIRO_CLIENT_TOKEN", arguments.key)
    if arguments.demo:
        return serving.serve_demo(flags, arguments.config)
    return serving.serve(flags, arguments.config)
