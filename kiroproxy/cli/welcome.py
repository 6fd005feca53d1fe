"""What a started server says to the person at the terminal."""

from __future__ import annotations

from urllib.parse import urlsplit

from kiroproxy import __version__, clientkey
from kiroproxy.app import Running
from kiroproxy.cli import environment
from kiroproxy.config import COMMAND_LINE, Config

_NO_ACCOUNT = (
    "sign in with kiroproxy login or to the Kiro IDE on this machine, or set KIRO_API_KEY "
    "(docs/configuration.md has more ways); requests are refused until then"
)


def hidden_key(config: Config, is_demo: bool, is_terminal: bool) -> str:
    """Where the key stands, when it is not to be shown; else ''.

    Whoever set it elsewhere than on the command line knows it, and where the output is no terminal
    it goes to a container's or a service's log. One that was made here is in the state folder.
    """
    name = "KIRO_CLIENT_TOKEN"
    if config.values[name] is None and config.values["KIRO_CLIENT_TOKEN_FILE"] is not None:
        name = "KIRO_CLIENT_TOKEN_FILE"
    elif is_demo or is_terminal:
        return ""
    if name not in config.origins:
        return f"the one in {config.state_dir / clientkey.FILE_NAME}"
    origin = config.origins[name]
    return "" if origin == COMMAND_LINE else f"the one in {name} ({origin})"


def welcome(running: Running, demo: bool, processes: int = 1, *, hidden: str = "") -> str:
    """What a person needs now: where, with which key (or where it stands), and the lines to paste."""
    listens = urlsplit(running.urls[0])
    url = environment.base_url(listens.hostname or "", listens.port or 80)
    lines = [
        f"kiroproxy {__version__} serves on {', '.join(running.urls)}",
        f"key: {hidden or running.key.reveal()}",
    ]
    if processes > 1:
        lines.append(f"workers: {processes} processes share the port")
    if demo:
        lines.append("demo: a built-in simulator answers, not the Kiro service")
    lines += [f"account: {name}" for name in running.accounts]
    lines += [f"not used: {problem}" for problem in running.problems]
    if not running.accounts:
        lines += ["no account: " + _NO_ACCOUNT]
    if not demo:
        lines += [f"note: {note}" for note in running.notes]
    if hidden:
        return "\n".join([*lines, "", "Claude Code: kiroproxy claude sets it up"])
    lines += [
        "",
        "Claude Code:",
        *(
            f"  {environment.set_line('sh', name, value)}"
            for name, value in environment.claude_code(url, running.key.reveal()).items()
        ),
        "  claude",
    ]
    return "\n".join(lines)
