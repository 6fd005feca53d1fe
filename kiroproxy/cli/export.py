"""``kiroproxy export``: shell lines that lead Claude Code and the SDKs to the proxy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Final, TypeVar

from kiroproxy import clientkey
from kiroproxy.cli import environment
from kiroproxy.cli.options import add_command, add_settings
from kiroproxy.cli.settings import load_config
from kiroproxy.cli.terminal import is_terminal, note, say
from kiroproxy.config import Config, is_loopback
from kiroproxy.errors import ConfigError
from kiroproxy.secret import Secret
from kiroproxy.values import parse_host, parse_key, parse_whole

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

_T = TypeVar("_T")


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
    config = load_config(arguments)
    host_text = arguments.host or config.environment.get("HOST", "").strip()
    host = _parsed("HOST", parse_host, host_text) if host_text else config.server.host
    port = config.server.port
    if arguments.port:
        port = _parsed("PORT", parse_whole(0, 65535), arguments.port)
    if port == 0:
        raise ConfigError("PORT: 0 picks a free port at start; name it with --port")
    url = environment.base_url(host, port)
    key = _key(config, host, arguments.key)
    shell = arguments.shell or environment.detect_shell()
    lines = environment.claude_code(url, key.reveal()).items()
    for line in [environment.set_line(shell, name, value) for name, value in lines]:
        say(line)
    if is_terminal(sys.stdout):
        note(f"These lines are for {shell}; load them with: {_LOADING[shell]}")
    return 0


def _key(config: Config, host: str, given: str | None) -> Secret:
    """The key that the server has or will have. Raises ConfigError."""
    if given:
        return _parsed("KIRO_CLIENT_TOKEN", parse_key, given)
    if config.server.client_token is not None:
        return config.server.client_token
    if not is_loopback(host):
        raise ConfigError(
            f"KIRO_CLIENT_TOKEN: must be set when HOST is not a loopback address ({host})"
        )
    return clientkey.load_or_create(config.state_dir)


def _parsed(name: str, parse: Callable[[str], _T], text: str) -> _T:
    """Raises ConfigError naming the setting; the value may be a key, so it is not shown."""
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
