"""What holds for every command: help, exit codes, pipes, colours, start-up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiroproxy.cli import COMMANDS, parser
from kiroproxy.eventstream.encoder import encode_event
from kiroproxy.simulator import Settings, Simulator
from tests.test_cli import run
from tests.test_cli_login import simulator


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kiroproxy", *arguments]


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": os.getcwd(), **more}


def social() -> str:
    return json.dumps(Simulator().demo_credentials("social"))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_exit_codes(name: str) -> None:
    one = next(a for a in parser(name)._actions if isinstance(a.choices, dict)).choices[name]
    text = one.format_help()
    assert text.startswith(f"usage: kiroproxy {name}")
    assert "examples:\n" in text
    assert "exit codes: 0 done, 1 failed, 2 wrong usage" in text


def test_help_is_printed_and_the_whole_one_lists_every_command(tmp_path: Path) -> None:
    whole, one = run(tmp_path, "--help"), run(tmp_path, "read", "--help")
    assert (whole.returncode, whole.stderr, one.returncode, one.stderr) == (0, "", 0, "")
    listed = {line.split()[0] for line in whole.stdout.splitlines() if line.startswith("    ")}
    assert listed >= set(COMMANDS)
    assert "exit codes: 0 done" in whole.stdout and "kiroproxy read --show" in one.stdout


@pytest.mark.parametrize(
    ("given", "columns"), [("90", 90), ("120", 120), ("wide", 80), ("-3", 80), ("", 80)]
)
def test_help_is_as_wide_as_the_terminal(given: str, columns: int, tmp_path: Path) -> None:
    lines = run(tmp_path, "server", "--help", COLUMNS=given).stdout.splitlines()
    laid_out = lines[: lines.index("examples:")]
    assert columns - 20 < max(map(len, laid_out)) <= columns - 2


@pytest.mark.parametrize(
    ("line", "heavy"),
    [
        (["--version"], "kiroproxy.accounts"),
        (["decode", os.devnull], "asyncio"),
        (["export", "--shell", "sh"], "asyncio"),
        (["accounts"], "kiroproxy.app"),
        (["read"], "kiroproxy.app"),
        (["authToken", "--help"], "kiroproxy.accounts"),
        (["--help"], "asyncio"),
        (["server", "--help"], "shutil"),
        (["--help"], "http.client"),
        (["completion", "zsh"], "kiroproxy.accounts"),
        (["server", "--help"], "kiroproxy.app"),
        (["login", "--help"], "kiroproxy.upstream"),
    ],
)
def test_a_command_loads_only_what_it_needs(line: list[str], heavy: str, tmp_path: Path) -> None:
    code = (
        "import sys; from kiroproxy.cli import main; code = main(sys.argv[1:]); "
        f"sys.exit(99 if {heavy!r} in sys.modules else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line],
        env=environment(tmp_path, KIRO_AUTH_TOKEN=social()),
        cwd=tmp_path,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [["--help"], ["models"], ["read", "--json"]])
def test_reader_that_leaves_is_no_noise(line: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    env = environment(tmp_path, KIRO_AUTH_TOKEN=social(), KIRO_API_URL="http://127.0.0.1:9")
    env["KIRO_SOCIAL_AUTH_URL"] = env["KIRO_API_URL"]
    with open(writing, "wb") as output:
        done = subprocess.run(
            command(*line),
            env=env,
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr and b"BrokenPipe" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full disk to offer")
def test_full_disk_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as output:
        done = subprocess.run(
            command("simulate", "--list"),
            env=environment(tmp_path),
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1 and b"the output cannot be written" in done.stderr


def on_terminal(home: Path, *arguments: str, **more: str) -> str:
    """What a terminal shows of both streams."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        env=environment(home, TERM="xterm", **more),
        cwd=home,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while data := terminal.read(4096):
            shown += data
    assert process.wait(20) == 0
    return shown.decode()


def test_colour_only_on_a_terminal_and_never_with_no_color(tmp_path: Path) -> None:
    env = {"KIRO_AUTH_TOKEN": social()}
    assert "\x1b[" in on_terminal(tmp_path, "accounts", **env)
    assert "\x1b[" not in on_terminal(tmp_path, "accounts", NO_COLOR="1", **env)
    forced = run(tmp_path, "accounts", FORCE_COLOR="1", CLICOLOR_FORCE="1", TERM="xterm", **env)
    assert forced.returncode == 0 and "\x1b" not in forced.stdout + forced.stderr


def test_progress_of_what_takes_a_while_only_on_a_terminal(tmp_path: Path) -> None:
    with simulator() as env:
        env["KIRO_AUTH_TOKEN"] = json.dumps(
            [{"auth": "Social", "refreshToken": "r" * 150}, *json.loads(social())]
        )
        quick = run(tmp_path, "authToken", **env)
    assert "renewing" not in quick.stderr
    home = tmp_path / "another"
    home.mkdir()
    with slow_simulator() as env:
        env["KIRO_AUTH_TOKEN"] = social()
        shown = on_terminal(home, "models", **env)
        piped = run(home, "models", **env)
    assert "asking for the models … 1 s" in shown and shown.count("\r\x20") >= 1
    assert "…" not in piped.stderr and piped.returncode == 0


@contextlib.contextmanager
def slow_simulator() -> Iterator[dict[str, str]]:
    """One that lets the model list wait."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    kiro = Simulator(Settings(pace_s=0))
    kiro.faults.always("slow_first_byte", route="models", seconds=2.5)
    try:
        url = asyncio.run_coroutine_threadsafe(kiro.start(), loop).result(10)
        yield dict.fromkeys(("KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL", "KIRO_OIDC_URL"), url)
    finally:
        asyncio.run_coroutine_threadsafe(kiro.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_ctrl_c_is_130_and_quiet(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("decode"),
        env=environment(tmp_path),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(encode_event("ready", b"{}"))
    process.stdin.flush()
    assert b"ready" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, b"")


def test_ctrl_c_does_not_cut_a_renewal(tmp_path: Path) -> None:
    """The service has issued a token that nobody else has: it is stored all the same."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps(Simulator().demo_credentials("social")[0]))
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.settimeout(20)
        url = f"http://127.0.0.1:{service.getsockname()[1]}"
        env = dict.fromkeys(("KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL", "KIRO_OIDC_URL"), url)
        process = subprocess.Popen(
            command("refresh"),
            env=environment(tmp_path, KIRO_OAUTH_CREDS_FILE_PATH=str(path), **env),
            cwd=tmp_path,
            stderr=subprocess.PIPE,
        )
        asked, _ = service.accept()
        with asked:
            asked.settimeout(20)
            assert b"/refreshToken" in asked.recv(4096)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)  # the signal is there before the answer
            body = b'{"accessToken":"aoaNew","refreshToken":"%b","expiresIn":3600}' % (b"n" * 150)
            head = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            )
            asked.sendall(head % len(body) + body)
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert json.loads(path.read_text())["refreshToken"] == "n" * 150
