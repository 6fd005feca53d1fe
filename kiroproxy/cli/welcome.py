"""What a started server says to the person at the terminal."""

from __future__ import annotations

from kiroproxy import __version__
from kiroproxy.app import Running
from kiroproxy.cli import environment

_NO_ACCOUNT = (
    "sign in with kiroproxy login or to the Kiro IDE on this machine, or set KIRO_API_KEY "
    "(docs/configuration.md has more ways); requests are refused until then"
)


def welcome(running: Running, demo: bool, processes: int = 1) -> str:
    """What a person needs now: where, with which key, and the lines to paste."""
    url = running.urls[0]
    lines = [
        f"kiroproxy {__version__} serves on {', '.join(running.urls)}",
        f"key: {running.key.reveal()}",
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
