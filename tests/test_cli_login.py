"""``kiroproxy login`` and ``logout`` as a user runs them: real processes against the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kiroproxy.simulator import Settings, Simulator
from tests.test_cli import run, serving


@contextmanager
def simulator(**settings: object) -> Iterator[dict[str, str]]:
    """A simulator on a thread of its own; yields the environment that leads to it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        kiro = Simulator(Settings(pace_s=0, **settings))  # type: ignore[arg-type]
        url = asyncio.run_coroutine_threadsafe(kiro.start(), loop).result(10)
        names = ("KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL", "KIRO_OIDC_URL")
        yield dict.fromkeys(names, url)
        asyncio.run_coroutine_threadsafe(kiro.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def sign_ins(home: Path) -> list[Path]:
    return sorted((home / ".local/state/kiroproxy/sign-ins").glob("*.json"))


def test_sign_in_serve_and_sign_out(tmp_path: Path) -> None:
    with simulator() as env:
        done = run(tmp_path, "login", **env)
        assert (done.returncode, done.stderr) == (0, "")
        assert "/device?user_code=" in done.stdout and "  code: " in done.stdout
        assert "valid for 10 min" in done.stdout and "Waiting for you to confirm" in done.stdout
        (kept,) = sign_ins(tmp_path)
        assert f"Signed in: Builder ID ({kept.stem})" in done.stdout
        assert kept.stat().st_mode & 0o777 == 0o600
        fields = json.loads(kept.read_text())
        for name in ("accessToken", "refreshToken", "clientSecret"):
            assert fields[name] not in done.stdout
        with serving(tmp_path, "server", "0", **env) as (_, _, said):
            assert "account: Builder ID (idc)" in said and "not used" not in said

        second = run(tmp_path, "login", **env)
        assert "Signed in: Builder ID 2" in second.stdout
        unknown = run(tmp_path, "logout", "nobody", **env)
        assert unknown.returncode == 2
        assert f"Builder ID ({kept.stem})" in unknown.stderr and "Builder ID 2" in unknown.stderr
        for name in (kept.stem, "Builder ID 2"):
            gone = run(tmp_path, "logout", name, **env)
            assert (gone.returncode, gone.stderr) == (0, "")
        assert sign_ins(tmp_path) == []


def test_organisation_under_a_name(tmp_path: Path) -> None:
    portal = ["--start-url", "https://team.awsapps.com/start/#/", "--region", "eu-west-1"]
    state = ["--state-dir", str(tmp_path / "elsewhere")]
    with simulator(device_polls=0) as env:
        work = run(tmp_path, "login", "--name", "work", *portal, *state, **env)
        assert work.returncode == 0, work.stderr
    (kept,) = (tmp_path / "elsewhere/sign-ins").glob("*.json")
    fields = json.loads(kept.read_text())
    assert (fields["description"], fields["region"]) == ("work", "eu-west-1")
    assert fields["startUrl"] == "https://team.awsapps.com/start"
    assert fields["provider"] == "Enterprise"


@pytest.mark.parametrize("words", [["--social"], ["--social", "github", "--name", "home"]])
def test_social_says_how_to_import_and_sends_nothing(words: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        url = f"http://127.0.0.1:{service.getsockname()[1]}"
        env = {"KIRO_SOCIAL_AUTH_URL": url, "KIRO_OIDC_URL": url, "KIRO_API_URL": url}
        done = run(tmp_path, "login", *words, **env)
        service.setblocking(False)
        with pytest.raises(BlockingIOError):
            service.accept()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kiroproxy: there is no sign-in with Google or GitHub here")
    for way in ("Kiro IDE or Kiro CLI", "kiro-auth-token.json", "KIRO_OAUTH_CREDS_FILE_PATH"):
        assert way in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_declined_is_exit_code_1_and_keeps_nothing(tmp_path: Path) -> None:
    with simulator(device_end="access_denied") as env:
        done = run(tmp_path, "login", **env)
    assert done.returncode == 1
    assert done.stderr.startswith("kiroproxy: The sign-in was declined")
    assert done.stderr.count("\n") == 1 and sign_ins(tmp_path) == []


WRONG = {
    "start url": (["--start-url", "team"], "--start-url: must be a URL such as"),
    "lone region": (["--region", "eu-west-1"], "--region: needs --start-url"),
    "region": (["--start-url", "https://t.example/start", "--region", "x"], "--region: must be"),
    "name": (["--name", "a\x1bb"], "--name: must be at most 80 printable"),
    "state": (["--state-dir", "/dev/null/x"], "KIROPROXY_STATE_DIR: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line_and_exit_code_2(case: str, tmp_path: Path) -> None:
    arguments, words = WRONG[case]  # found before anybody is asked to confirm a code
    done = run(tmp_path, "login", *arguments, KIRO_OIDC_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and done.stderr.count("\n") == 1


def test_service_that_is_not_there_is_exit_code_1(tmp_path: Path) -> None:
    done = run(tmp_path, "login", KIRO_OIDC_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and "127.0.0.1:9" in done.stderr


def test_demo_does_not_use_the_user_s_sign_ins(tmp_path: Path) -> None:
    state = ["--state-dir", str(tmp_path / "state")]
    with simulator(device_polls=0) as env:
        assert run(tmp_path, "login", *state, **env).returncode == 0
    with serving(tmp_path, "server", "0", "--demo", *state) as (_, _, said):
        assert "Builder ID" not in said


def test_progress_line_counts_down_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with simulator() as env, os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "kiroproxy", "login"],
            env={"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": os.getcwd(), **env},
            cwd=tmp_path,
            stdout=theirs,
        )
        os.close(theirs)
        shown = b"".join(_until_closed(terminal))
        assert process.wait(20) == 0
    assert b"\rWaiting for you to confirm" in shown and b"10:00 left" in shown
    assert b"Signed in: Builder ID" in shown


def _until_closed(terminal: io.FileIO) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # Linux's word for: nobody holds the other end
        while data := terminal.read(1024):
            yield data
