"""What a started server says to the person at the terminal."""

from __future__ import annotations

from kiroproxy import __version__
from kiroproxy.app import Running
from kiroproxy.cli import environment
from kiroproxy.config import Config

_NO_ACCOUNT = (
    "sign in with kiroproxy login or to the Kiro IDE on this machine, or set KIRO_API_KEY "
    "(docs/configuration.md has more ways); requests are refused until then"
)


def is_private(config: Config) -> bool:
    """Whether the key was given in a file: whoever does that does not want it in a container's output."""
    given = config.values
    return given["KIRO_CLIENT_TOKEN"] is None and given["KIRO_CLIENT_TOKEN_FILE"] is not None


def welcome(running: Running, demo: bool, processes: int = 1, *, private: bool = False) -> str:
    """What a person needs now: where, with which key (not if ``private``), and the lines to paste."""
    url = running.urls[0]
    lines = [
        f"kiroproxy {__version__} serves on {', '.join(running.urls)}",
        "key: the one in KIRO_CLIENT_TOKEN_FILE" if private else f"key: {running.key.reveal()}",
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
    if private:
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
