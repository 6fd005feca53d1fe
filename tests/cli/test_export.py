"""``export``: lines that real shells take, whatever stands in the key."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kiroproxy.cli.environment import base_url, set_line
from kiroproxy.errors import ConfigError
from tests.test_cli import run

NASTY = "a'b\"c$HOME`id`\\n!x;y&z|(q)*?[~]#%PATH%^{}<>\\'\\"
SHELLS = {
    "dash": ["-c"],
    "bash": ["--norc", "-c"],
    "zsh": ["-f", "-c"],
    "fish": ["--no-config", "-c"],
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_gets_the_very_key(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not here")
    # The shell is not named: it is found out from the parent process.
    command = f'"{sys.executable}" -m kiroproxy export --port 9000'
    load = f"{command} | source" if shell == "fish" else f'eval "$({command})"'
    done = subprocess.run(
        [program, *SHELLS[shell], f"{load}; env"],
        env={
            "PATH": os.defpath,
            "HOME": str(tmp_path),
            "PYTHONPATH": os.getcwd(),
            "SHELL": "/bin/nothing",
            "KIRO_CLIENT_TOKEN": NASTY,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    got = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert got["ANTHROPIC_AUTH_TOKEN"] == NASTY
    assert got["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:9000"
    assert got["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] == "180000"


def test_same_key_as_the_server_s(tmp_path: Path) -> None:
    done = run(tmp_path, "export", "--shell", "sh")
    assert (done.returncode, done.stderr) == (0, "")
    key = (tmp_path / ".local/state/kiroproxy/client-key").read_text().strip()
    assert f"export ANTHROPIC_AUTH_TOKEN={key}\n" in done.stdout
    assert run(tmp_path, "export", "--shell", "sh").stdout == done.stdout


def test_settings_of_the_server_count(tmp_path: Path) -> None:
    env = {"HOST": "0.0.0.0", "PORT": "9001", "KIRO_CLIENT_TOKEN": "the-key"}
    done = run(tmp_path, "export", "--shell", "fish", **env)
    assert "set -gx ANTHROPIC_BASE_URL 'http://127.0.0.1:9001';\n" in done.stdout
    assert "set -gx ANTHROPIC_AUTH_TOKEN 'the-key';\n" in done.stdout


def test_config_file_counts_and_flags_win(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('HOST = "::1"\nPORT = 9002\nKIRO_CLIENT_TOKEN = "from-toml"\n')
    done = run(tmp_path, "export", "--shell", "sh", "--config", "c.toml", "--key", "from-flag")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ANTHROPIC_BASE_URL='http://[::1]:9002'\n" in done.stdout
    assert "ANTHROPIC_AUTH_TOKEN=from-flag\n" in done.stdout


@pytest.mark.parametrize(
    ("words", "environment", "complaint"),
    [
        (["--port", "0"], {}, "PORT: 0 picks a free port"),
        (["--port", "x"], {}, "PORT: must be a whole number"),
        (["--host", "a b"], {}, "HOST: must be"),
        (["--host", "192.0.2.1"], {}, "KIRO_CLIENT_TOKEN: must be set when HOST"),
        (["--key", "two words"], {}, "KIRO_CLIENT_TOKEN: must be printable"),
        (["--shell", "cmd", "--key", "50%off"], {}, "ANTHROPIC_AUTH_TOKEN: holds '%'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    words: list[str], environment: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    done = run(tmp_path, "export", *words, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr and done.stderr.count("\n") == 1


def test_power_shell_and_cmd() -> None:
    assert set_line("powershell", "A", "it\u2019s 'q' $x") == "$env:A = 'it\u2019\u2019s ''q'' $x'"
    assert set_line("cmd", "A", "a&b|c") == '@set "A=a&b|c"'
    with pytest.raises(ConfigError, match="cmd has no way"):
        set_line("cmd", "A", 'a"b')


def test_a_server_on_any_address_is_found_on_loopback() -> None:
    assert base_url("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert base_url("::", 1) == "http://[::1]:1"
    assert base_url("kiro.example", 80) == "http://kiro.example:80"
