"""A disk that is full and a folder that cannot be written: real processes under the kernel's own limits.

Full: the largest file the process may write is set to nothing (``RLIMIT_FSIZE``), which holds for root too.
Read-only: a folder without write bits, for a process without the right to overlook them. And where the
tests may mount: a small disk that is filled, and one that the kernel makes read-only under open files, as
it does when a disk fails.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path

import orjson
import pytest

from kiroproxy.simulator import Simulator
from tests.e2e.speakers import SPEAKERS, Heard, Wish
from tests.processes import Server, environment, servers, serving, simulated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prlimit and setpriv")

CELLS = list(product(SPEAKERS, (True, False)))
NO_OVERRIDE = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")


def fill_disk(server: Server, full: bool = True) -> None:
    """From now on (not) a byte more goes into any file."""
    soft = 0 if full else resource.RLIM_INFINITY
    limits = (soft, resource.RLIM_INFINITY)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)


async def ask(server: Server, dialect: str, stream: bool, text: str = "fine") -> Heard:
    speaker = SPEAKERS[dialect]
    body = speaker.request(Wish(f"[[sim:say {text}]]"), stream=stream)
    return speaker.hear(await server.send("POST", speaker.path, body))


async def everything_works(server: Server, kiro: Simulator) -> None:
    """All dialects, with the token they had and with one that has to be renewed."""
    for dialect, stream in CELLS:
        for renew in (False, True):
            if renew:
                kiro.tokens.revoke_access("social")
            heard = await ask(server, dialect, stream)
            assert (heard.text, heard.stop, heard.error) == ("fine", "end", "")


def stored(state: Path) -> list[str]:
    """The refresh tokens that the state folder holds."""
    values = [orjson.loads(path.read_bytes()) for path in (state / "credentials").glob("*.json")]
    return [value["refreshToken"] for value in values if "refreshToken" in value]


def is_readable(state: Path) -> bool:
    with closing(sqlite3.connect(state / "state.db")) as database:
        return database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_disk_that_becomes_full(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with servers(tmp_path) as (server, kiro):
        await everything_works(server, kiro)
        (before,) = stored(state)
        assert kiro.tokens.by_refresh(before) is not None
        fill_disk(server)
        await everything_works(server, kiro)
        assert stored(state) == [before]  # whole, though old: it was replaced by nothing half
        assert "could not be stored" in server.text
        assert not list((state / "credentials").glob(".*.tmp"))
        fill_disk(server, full=False)
        # There is room again: the sign-in that is used is the one that is kept.
        while kiro.tokens.by_refresh(stored(state)[0]) is None:
            await asyncio.sleep(0.02)
        await everything_works(server, kiro)
        assert server.process.returncode is None
    assert is_readable(state)


async def test_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    async with simulated() as (kiro, url):
        given = environment(tmp_path, url, kiro.demo_credentials("social"))
        full = ("prlimit", "--fsize=0:unlimited")
        async with serving(given, tmp_path, under=full) as server:
            await everything_works(server, kiro)
            assert server.process.returncode is None


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
async def test_read_only_state_folder(used: bool, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    async with simulated() as (kiro, url):
        given = environment(tmp_path, url, kiro.demo_credentials("social"))
        if used:
            async with serving(given, tmp_path) as server:
                await everything_works(server, kiro)
        files = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
        for path in (state, *state.rglob("*")):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o555)
        try:
            async with serving(given, tmp_path, under=NO_OVERRIDE) as server:
                await everything_works(server, kiro)
                assert server.process.returncode is None
            now = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
            assert now == files
        finally:
            for path in (state, *state.rglob("*")):
                path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o200)
            shutil.rmtree(state)


# -- real disks


def run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def mounted(place: Path, *what: str) -> Iterator[None]:
    """A file system of its own; the test is skipped where that may not be made."""
    place.mkdir(mode=0o700)
    if not run("mount", *what, str(place)):
        pytest.skip("cannot mount")
    try:
        yield
    finally:
        assert run("umount", str(place))  # nobody has a file open any more


@contextmanager
def failing_disk(place: Path) -> Iterator[None]:
    """One that the kernel can be told to give up on."""
    image = place.with_name("image")
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    if not run("mkfs.ext4", "-q", str(image)):
        pytest.skip("cannot make a file system")
    with mounted(place, "-o", "loop,errors=remount-ro", str(image)):
        place.chmod(0o700)
        yield


async def stopped(server: Server) -> int:
    server.tell(signal.SIGTERM)
    return await server.process.wait()


async def test_small_disk_that_is_filled_while_running(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with mounted(state, "-t", "tmpfs", "-o", "size=1m,mode=700", "none"):
        async with servers(tmp_path) as (server, kiro):
            await everything_works(server, kiro)
            (before,) = stored(state)
            ballast = state / "ballast"
            with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
                while True:
                    file.write(bytes(4_096))
            await everything_works(server, kiro)
            assert stored(state) == [before]
            assert "could not be stored" in server.text
            assert not list((state / "credentials").glob(".*.tmp"))
            ballast.unlink()
            while kiro.tokens.by_refresh(stored(state)[0]) is None:
                await asyncio.sleep(0.02)
            await everything_works(server, kiro)
            assert await stopped(server) == 0
        assert is_readable(state)


async def test_disk_that_fails_and_becomes_read_only_while_running(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with failing_disk(state):
        async with servers(tmp_path) as (server, kiro):
            await everything_works(server, kiro)
            assert run("mount", "-o", "remount,abort", str(state))
            with pytest.raises(OSError, match="Read-only"):
                (state / "new").touch()
            await everything_works(server, kiro)
            assert "could not be stored" in server.text
            local = {"Host": "localhost", "x-api-key": ""}
            for page in ("/health", "/metrics", "/api/usage", "/api/tokens"):
                assert (await server.send("GET", page, headers=local)).status == 200
            assert "Traceback" not in server.text
            assert await stopped(server) == 0
