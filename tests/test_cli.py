"""The program as a user starts it: a real process, its words and its exit codes."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kiroproxy import __version__


def run(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "kiroproxy", *arguments],
        env=_environment(home, environment),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _environment(home: Path, more: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": os.getcwd(), **more}


@contextmanager
def _started(home: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "kiroproxy", *arguments],
        env=_environment(home, environment),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _said(process: subprocess.Popen[str]) -> str:
    """What a server prints before it serves, up to the last line."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if line.strip() == "claude" or line.startswith("Claude Code: kiroproxy"):
            break
    return said


@contextmanager
def serving(home: Path, *arguments: str, **environment: str) -> Iterator[tuple[str, str, str]]:
    """A running server: (its URL, its key, all it said until then). Ended by SIGTERM, cleanly."""
    with _started(home, *arguments, **environment) as process:
        said = _said(process)
        url = re.search(r"serves on (\S+)", said)
        key = re.search(r"^key: (?:the one in )?(.+)$", said, re.MULTILINE)
        assert url and key, said + process.communicate(timeout=5)[1]
        kept = Path(key[1])
        yield url[1], kept.read_text().strip() if kept.is_absolute() else key[1], said
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors


def test_version(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"kiroproxy {__version__}\n")


def test_help_shows_examples(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert "kiroproxy server --demo" in done.stdout


WRONG = {
    "port": (["server", "nonsense"], {}, "PORT: must be a whole number"),
    "environment": (["server"], {"LOG_FORMAT": "xml"}, "LOG_FORMAT: must be one of"),
    "open host": (["server", "--host", "0.0.0.0"], {}, "KIRO_CLIENT_TOKEN: must be set"),
    "log file": (["server"], {"LOG_FILE": "/dev/null/x"}, "LOG_FILE: cannot be written"),
    "state": (["server"], {"KIROPROXY_STATE_DIR": "/dev/null/x"}, "KIROPROXY_STATE_DIR"),
    "foreign host": (  # RFC 5737: an address that no machine has
        ["server", "0", "--host", "192.0.2.1"],
        {"KIRO_CLIENT_TOKEN": "a-key-for-an-open-host"},
        "HOST: cannot listen on 192.0.2.1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_setting_is_one_line_and_exit_code_2(case: str, tmp_path: Path) -> None:
    arguments, environment, words = WRONG[case]
    done = run(tmp_path, *arguments, **environment)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_unknown_flag_or_command_is_exit_code_2(tmp_path: Path) -> None:
    assert run(tmp_path, "server", "--nonsense").returncode == 2
    unknown = run(tmp_path, "frobnicate")
    assert unknown.returncode == 2
    assert "invalid choice: 'frobnicate'" in unknown.stderr


@pytest.fixture
def cores() -> Iterator[None]:
    """As on a machine where programs leave core files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0 or not hasattr(resource, "prlimit"):
        pytest.skip("core files cannot be had here, or not be asked about")
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_crash_leaves_no_image_of_the_memory(tmp_path: Path, workers: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with _started(tmp_path, "server", "0", "--demo", "--workers", workers) as process:
        _said(process)
        told = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
        )
        for pid in (process.pid, *map(int, told.stdout.split())):
            assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, hard)
        process.terminate()
        process.communicate(timeout=20)


def test_second_ctrl_c_does_not_wait_for_answers(tmp_path: Path) -> None:
    with socket.socket() as client, _started(tmp_path, "server", "0", "--demo") as process:
        said = _said(process)
        (port, _), (_, key) = re.findall(r"serves on http://127.0.0.1:(\d+)|key: (\S+)", said)
        client.connect(("127.0.0.1", int(port)))
        body = (
            b'{"model":"claude-sonnet-4-5","stream":true,"messages":[{"role":"user",'
            b'"content":"[[sim:text 9000]]"}]}'
        )
        client.sendall(
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (key.encode(), len(body), body)
        )
        assert b"200 OK" in client.recv(4096)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:
            if "stopping" in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)  # the answer alone takes over two minutes
        assert process.returncode == 130
        assert "Traceback" not in errors


def test_taken_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(tmp_path, "server", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "PORT: cannot listen" in done.stderr
    assert done.stderr.count("\n") == 1


def test_demo_serves_and_stops(tmp_path: Path) -> None:
    with serving(tmp_path, "server", "0", "--demo") as (url, key, said):
        assert f"ANTHROPIC_BASE_URL={url}" in said
        assert f"ANTHROPIC_AUTH_TOKEN={key}" in said
        request = urllib.request.Request(
            f"{url}/v1/messages",
            b'{"model":"claude-sonnet-4-5","max_tokens":99,"messages":[{"role":"user",'
            b'"content":"[[sim:say It works.]]"}]}',
            {"x-api-key": key},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert b"It works." in answer.read()
    assert not (tmp_path / ".local").exists()  # the demo leaves nothing behind


def test_dotenv_and_no_account(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=0\nKIRO_CLIENT_TOKEN=key-from-dotenv\n")
    with serving(tmp_path) as (url, _, said):
        assert "key: the one in KIRO_CLIENT_TOKEN (.env)" in said
        assert "key-from-dotenv" not in said  # the output is no terminal, so it may be a log
        assert "no account: sign in" in said
        request = urllib.request.Request(
            f"{url}/v1/messages",
            b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}',
            {"x-api-key": "key-from-dotenv"},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        with refused.value:
            assert refused.value.code == 401
            assert b"sign in" in refused.value.read().lower()


def test_dotenv_that_is_no_text_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    done = run(tmp_path, "server", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "kiroproxy: .env: must be text in UTF-8\n"


def test_demo_answers_again_with_the_state_of_an_earlier_one(tmp_path: Path) -> None:
    for _ in range(2):
        with serving(tmp_path, "server", "0", "--demo", "--state-dir", "state") as (url, key, _):
            request = urllib.request.Request(
                f"{url}/v1/messages",
                b'{"model":"claude-sonnet-4-5","max_tokens":99,"messages":[{"role":"user",'
                b'"content":"[[sim:say Again.]]"}]}',
                {"x-api-key": key},
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert b"Again." in answer.read()


def test_broken_credential_is_named_and_does_not_stop_the_start(tmp_path: Path) -> None:
    with serving(tmp_path, "server", "0", KIRO_AUTH_TOKEN='[{"auth":"Social"}]') as (_, _, said):
        assert "not used: KIRO_AUTH_TOKEN[0]" in said
        assert "refreshToken" in said
