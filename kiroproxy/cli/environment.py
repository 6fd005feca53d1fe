"""The variables that lead a client to the proxy, and how each shell sets one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from kiroproxy.errors import ConfigError

SHELLS: Final = ("sh", "fish", "powershell", "cmd")

# PowerShell takes typographic quotes for the plain one.
_POWERSHELL_QUOTES: Final = "'\u2018\u2019\u201a\u201b"
_CMD_SPECIAL: Final = '"%!^\r\n'
_NAMES: Final = {
    **dict.fromkeys(("sh", "bash", "zsh", "dash", "ash", "ksh", "mksh", "busybox"), "sh"),
    "fish": "fish",
    **dict.fromkeys(("pwsh", "powershell"), "powershell"),
    "cmd": "cmd",
}


def claude_code(url: str, key: str) -> dict[str, str]:
    """Claude Code's variables for a proxy at ``url``."""
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": key,
        "CLAUDE_CODE_AUTO_COMPACT_WINDOW": "180000",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def base_url(host: str, port: int) -> str:
    """Where this machine finds a server that listens on ``host``; "any address" is loopback here."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def set_line(shell: str, name: str, value: str) -> str:
    """The line that sets and exports a variable, whatever stands in ``value``. Raises ConfigError
    for what the shell cannot be told."""
    if "\x00" in value:
        raise ConfigError(f"{name}: no shell can hold a null character")
    match shell:
        case "fish":
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"set -gx {name} '{escaped}';"
        case "powershell":
            escaped = "".join(c * 2 if c in _POWERSHELL_QUOTES else c for c in value)
            return f"$env:{name} = '{escaped}'"
        case "cmd":
            if found := [c for c in value if c in _CMD_SPECIAL]:
                raise ConfigError(
                    f"{name}: holds {found[0]!r}, which cmd has no way to quote for sure; "
                    "use --shell powershell"
                )
            return f'@set "{name}={value}"'  # a batch file would show the line otherwise
        case _:
            import shlex  # not for a server that shows no key

            return f"export {name}={shlex.quote(value)}"


def detect_shell() -> str:
    """The shell that has started us, else the user's own, else the system's usual one."""
    for name in (_parent(), os.environ.get("SHELL", "")):
        if shell := _shell_of(name):
            return shell
    return "powershell" if os.name == "nt" else "sh"


def _shell_of(name: str) -> str:
    """``/bin/bash``, ``-zsh`` and ``pwsh.exe`` are shells; '' for what is none."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1].strip().lower().lstrip("-")
    return _NAMES.get(last.removesuffix(".exe"), "")


def _parent() -> str:
    """The name of the parent process; '' where that cannot be told."""
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text("utf-8", "replace")
    except OSError:
        pass
    if os.name != "posix":
        return ""
    try:
        asked = subprocess.run(  # noqa: S603 - our own words
            ["ps", "-o", "comm=", "-p", str(os.getppid())],  # noqa: S607 - where the system has it
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout
