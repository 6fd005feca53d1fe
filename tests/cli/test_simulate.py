"""``simulate``: a proxy that takes the printed lines serves from it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kiroproxy.simulator.faults import NAMES
from kiroproxy.simulator.scenarios import SCENARIOS
from tests.test_cli import run, serving


@contextmanager
def simulating(
    home: Path, *arguments: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The running command, and the variables that a real shell has from its lines."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kiroproxy", "simulate", "0", "--shell", "sh", *arguments],
        env={"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": os.getcwd()},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        shell = subprocess.run(
            ["sh", "-c", "".join(lines) + "env -0"],
            env={},
            capture_output=True,
            text=True,
            check=True,
        )
        pairs = [item.partition("=") for item in shell.stdout.split("\0") if item]
        yield process, {name: value for name, _, value in pairs if name.startswith("KIRO")}
    finally:
        if process.poll() is None:
            process.terminate()  # so that it takes its folder along
        process.communicate(timeout=20)


def ask(url: str, key: str) -> int:
    request = urllib.request.Request(
        f"{url}/v1/messages",
        b'{"model":"claude-sonnet-4-5","max_tokens":99,"messages":[{"role":"user","content":"x"}]}',
        {"x-api-key": key},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_proxy_serves_from_it_and_its_folder_goes_with_it(tmp_path: Path) -> None:
    with simulating(tmp_path, "--account", "social", "--account", "idc") as (process, env):
        kinds = [entry["authMethod"] for entry in json.loads(env["KIRO_AUTH_TOKEN"])]
        assert kinds == ["social", "IdC"]
        state = Path(env["KIROPROXY_STATE_DIR"])
        with serving(tmp_path, "server", "0", **env) as (url, key, _):
            assert ask(url, key) == 200
        assert (state / "state.db").exists() and not (tmp_path / ".local").exists()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert not state.exists()


def test_scenario_spent_reaches_the_client_and_sigterm_is_a_clean_end(tmp_path: Path) -> None:
    with simulating(tmp_path, "--scenario", "spent") as (process, env):
        with serving(tmp_path, "server", "0", **env) as (url, key, _):
            assert ask(url, key) in (402, 403, 429)
        process.terminate()
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0
        assert said.startswith(
            "simulator: spent (no account has credits left) on http://127.0.0.1:"
        )


def test_list_names_everything(tmp_path: Path) -> None:
    done = run(tmp_path, "simulate", "--list")
    assert done.returncode == 0
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert listed == {*SCENARIOS, *NAMES}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["x"], "PORT: must be a whole number"),
        (["0", "--scenario", "nope"], "nope is no scenario, no fault and no file"),
        (["0", "--scenario", "rate often"], "often must be key=value"),
        (["0", "--scenario", "bad.toml"], "bad.toml: faults[0]: name: must be a fault's name"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    words: list[str], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text('[[faults]]\nname = "no such"\n')
    done = run(tmp_path, "simulate", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr and done.stderr.count("\n") == 1


def test_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(tmp_path, "simulate", str(taken.getsockname()[1]))
    assert (done.returncode, done.stdout) == (2, "")
    assert "PORT: cannot listen" in done.stderr and done.stderr.count("\n") == 1
