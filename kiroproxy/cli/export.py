"""``kiroproxy export``: shell lines that lead Claude Code and the SDKs to the proxy."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from kiroproxy import clientkey
from kiroproxy.cli import environment
from kiroproxy.cli.options import add_command, add_settings
from kiroproxy.cli.settings import read_settings
from kiroproxy.cli.terminal import is_terminal, note, say
from kiroproxy.errors import ConfigError

_EXAMPLES: Final = """\
  eval "$(kiroproxy export)"                          sh, bash, zsh
  kiroproxy export --shell fish | source              fish
  kiroproxy export --shell powershell | Out-String | Invoke-Expression
  kiroproxy export --shell cmd > kiro.cmd && call kiro.cmd
  kiroproxy export --port 9000                        for a server on another port
"""
_LOADING: Final = {
    "sh": 'eval "$(kiroproxy export)"',
    "fish": "kiroproxy export | source",
    "powershell": "kiroproxy export | Out-String | Invoke-Expression",
    "cmd": "kiroproxy export > kiro.cmd && call kiro.cmd",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "export",
        _run,
        "print shell lines that lead Claude Code to the proxy",
        more=(
            "They set ANTHROPIC_BASE_URL, ANTHROPIC_AUTH_TOKEN and what else the server prints when "
            "it\nstarts, from the same settings; the server need not run. They hold the key."
        ),
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--shell",
        choices=environment.SHELLS,
        help="whose words (default: the shell that runs the command, else SHELL)",
    )
    parser.add_argument("--host", help="where the server listens, as HOST")
    parser.add_argument("--port", help="where the server listens, as PORT")
    parser.add_argument("--key", metavar="TEXT", help="the server's key, as KIRO_CLIENT_TOKEN")
    add_settings(parser)


def _run(arguments: argparse.Namespace) -> int:
    flags = {
        "HOST": arguments.host,
        "PORT": arguments.port,
        "KIRO_CLIENT_TOKEN": arguments.key,
        "KIROPROXY_STATE_DIR": arguments.state_dir,
    }
    given = {name: value for name, value in flags.items() if value}
    config = read_settings(given, arguments.config)
    if config.server.port == 0:
        raise ConfigError("PORT: 0 picks a free port at start; name it with --port")
    url = environment.base_url(config.server.host, config.server.port)
    key = config.server.client_token or clientkey.load_or_create(config.state_dir)
    shell = arguments.shell or environment.detect_shell()
    lines = environment.claude_code(url, key.reveal()).items()
    for line in [environment.set_line(shell, name, value) for name, value in lines]:
        say(line)
    if is_terminal(sys.stdout):
        note(f"These lines are for {shell}; load them with: {_LOADING[shell]}")
    return 0
