"""``kiroproxy login`` and ``logout`` as a user runs them: real processes against the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
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


def test_organisation_and_social_under_names(tmp_path: Path) -> None:
    portal = ["--start-url", "https://team.awsapps.com/start/#/", "--region", "eu-west-1"]
    state = ["--state-dir", str(tmp_path / "elsewhere")]
    with simulator(device_polls=0) as env:
        work = run(tmp_path, "login", "--name", "work", *portal, *state, **env)
        assert work.returncode == 0, work.stderr
        home = run(tmp_path, "login", "--social", "github", "--name", "home", *state, **env)
        assert home.returncode == 0, home.stderr
    kept = [json.loads(p.read_text()) for p in (tmp_path / "elsewhere/sign-ins").glob("*.json")]
    by_name = {fields["description"]: fields for fields in kept}
    assert by_name["work"]["startUrl"] == "https://team.awsapps.com/start"
    assert (by_name["work"]["region"], by_name["work"]["provider"]) == ("eu-west-1", "Enterprise")
    assert by_name["home"]["authMethod"] == "social"


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
    "social": (["--social", "--start-url", "https://t.example"], "--social: goes without"),
    "name": (["--name", "a\x1bb"], "--name: must be at most 80 printable"),
    "state": (["--state-dir", "/dev/null/x", "--social"], "KIROPROXY_STATE_DIR: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line_and_exit_code_2(case: str, tmp_path: Path) -> None:
    arguments, words = WRONG[case]  # found before anybody is asked to confirm a code
    done = run(tmp_path, "login", *arguments, KIRO_SOCIAL_AUTH_URL="http://127.0.0.1:9")
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
