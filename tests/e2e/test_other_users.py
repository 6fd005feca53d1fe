"""Other users of the machine: what they could open, read or listen in on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import KEY, house


@pytest.fixture
def careless() -> Iterator[None]:
    """A umask that gives everybody everything."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def open_ones(folder: Path) -> list[str]:
    paths = [folder, *folder.rglob("*")]
    return [str(p) for p in paths if not p.is_symlink() and stat.S_IMODE(p.stat().st_mode) & 0o077]


@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize("made", [False, True])
async def test_nothing_in_the_state_folder_is_open_whatever_the_umask(
    tmp_path: Path, made: bool
) -> None:
    if made:
        (tmp_path / "state").mkdir(0o777)
    environment = {
        "PROMPT_LOG_MODE": "file",
        "LOG_FILE": str(tmp_path / "state" / "log"),
        "KIRO_CLIENT_TOKEN": "",
    }
    async with house(tmp_path, "social", "idc", **environment) as home:
        headers = {"x-api-key": home.key}
        body = b'{"model":"claude-sonnet-4-5","input":"hello"}'
        assert (await home.send("POST", "/v1/responses", body, headers)).status == 200
        assert home.key not in ("", KEY)
        assert open_ones(tmp_path / "state") == []
    names = {path.name for path in (tmp_path / "state").rglob("*")}
    assert {"client-key", "state.db"} <= names
    assert open_ones(tmp_path / "state") == []


async def test_nothing_but_the_one_port_is_listened_on(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert home.app.server is not None
        inodes = set()
        for fd in os.listdir("/proc/self/fd"):
            try:
                inodes.add(os.readlink(f"/proc/self/fd/{fd}"))
            except OSError:
                continue
        listening = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                    listening.add((fields[1].split(":")[0], int(fields[1].split(":")[1], 16)))
        loopback = "0100007F"
        assert (loopback, home.port) in listening
        assert {address for address, _ in listening} == {loopback}  # the other is the simulator's


async def test_the_key_stands_in_no_argument_and_no_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert KEY.encode() not in Path("/proc/self/cmdline").read_bytes()
        for path in (
            "/",
            "/health",
            "/api/usage",
            "/api/requests",
            "/metrics",
            "/static/index.html",
        ):
            answer = await home.send("GET", path, b"", {"Host": "localhost"})
            assert answer.status == 200
            assert KEY.encode() not in answer.body
            assert KEY not in str(answer.headers)


@pytest.mark.usefixtures("careless")
async def test_a_folder_of_everybody_s_is_left_alone_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o1777)  # as /tmp
    async with house(tmp_path) as home:
        assert (await home.ask("hello")).status == 200
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o1777
    assert any("others can write into the state folder" in r.getMessage() for r in caplog.records)
