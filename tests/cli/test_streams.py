"""Standard streams that are closed, full or read by nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.test_conventions import command, environment

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full disk to offer")
KEY = "key-of-this-test-0123456789"


def shell(home: Path, redirections: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A command with the shell's words for its streams."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *command(*arguments)],
        env=environment(home, PORT="1"),
        cwd=home,
        capture_output=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("streams", [">&-", "<&-", "<&- >&-", "<&- >&- 2>&-", "2>&-"])
def test_set_up_with_closed_streams(streams: str, tmp_path: Path) -> None:
    done = shell(tmp_path, streams, "claude", "--key", KEY, "--yes")
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    settings = json.loads((tmp_path / ".claude/settings.json").read_text())
    assert settings["env"]["ANTHROPIC_AUTH_TOKEN"] == KEY


@FULL
@pytest.mark.parametrize("line", [("--help",), ("completion", "zsh"), ("claude", "--yes")])
def test_full_disk_is_one_line(line: tuple[str, ...], tmp_path: Path) -> None:
    done = shell(tmp_path, ">/dev/full", *line)
    assert done.returncode == 1
    assert done.stderr.count(b"the output cannot be written") == 1
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr


def test_both_streams_are_read_by_nobody(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command("claude", "--key", KEY, "--dry-run"),
            env=environment(tmp_path, PORT="1"), cwd=tmp_path,
            stdout=writing, stderr=writing, timeout=30, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert done.returncode == 141


@contextmanager
def _serving(home: Path, redirections: str, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that logs to a file. Its streams are as a shell makes them."""
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *command("server", *more)],
        env=environment(
            home, PORT="0", LOG_FILE=str(home / "log"), KIRO_API_URL="http://127.0.0.1:9"
        ),
        cwd=home,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


@pytest.mark.parametrize("more", [(), ("--workers", "2")])
@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", pytest.param(">/dev/full", marks=FULL)])
def test_server_serves_whatever_its_streams_are(
    streams: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    with _serving(tmp_path, streams, *more) as process:
        log = tmp_path / "log"
        while not log.exists() or "listening on" not in log.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
