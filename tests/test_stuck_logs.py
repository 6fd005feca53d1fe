"""A server whose log nobody reads: it serves on, ends when told, and the log is whole once it is read."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from pathlib import Path

import pytest

from kiroproxy.simulator import Settings, Simulator
from tests.processes import Server, environment, serving

REQUESTS = 40
F_SETPIPE_SZ = 1031  # Linux

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="pipes are made small by Linux alone"
)


async def _ask(server: Server) -> None:
    for _ in range(REQUESTS):
        assert (await server.ask("[[sim:say hello]]")).status == 200


async def _read_requests(reading: int) -> list[str]:
    """What is in the pipe, with the lines of all requests; the test's own timeout is the limit."""
    got = b""
    while got.count(b" answered ") < REQUESTS:
        got += await asyncio.to_thread(os.read, reading, 1 << 20)
    return got.decode().splitlines()


async def test_file_that_is_a_pipe(tmp_path: Path) -> None:
    kiro = Simulator(Settings(pace_s=0))
    url = await kiro.start()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reading, F_SETPIPE_SZ, 4096)
    os.set_blocking(reading, True)
    more = {"LOG_FILE": str(pipe), "LOG_CONSOLE": "false", "LOG_LEVEL": "debug"}
    given = environment(tmp_path / "home", url, kiro.demo_credentials("social"), **more)
    try:
        async with serving(given, tmp_path) as server:
            await _ask(server)
            lines = await _read_requests(reading)
            assert all(line.startswith("20") for line in lines)  # none is torn
            await _ask(server)
            server.tell(signal.SIGTERM)
            assert await server.process.wait() == 0
    finally:
        os.close(reading)
        await kiro.stop()


async def test_output_that_is_a_pipe(tmp_path: Path) -> None:
    kiro = Simulator(Settings(pace_s=0))
    url = await kiro.start()
    reading, writing = os.pipe()
    fcntl.fcntl(reading, F_SETPIPE_SZ, 4096)
    given = environment(tmp_path / "home", url, kiro.demo_credentials("social"), LOG_LEVEL="debug")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kiroproxy", "server", cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent.parent), **given},
        stdin=asyncio.subprocess.DEVNULL, stdout=writing, stderr=writing,
    )  # fmt: skip
    os.close(writing)
    try:
        said = ""
        while " serves on http://" not in said:
            said += (await asyncio.to_thread(os.read, reading, 4096)).decode()
        port = int(said.split(" serves on http://")[1].split()[0].strip(",").rsplit(":", 1)[1])
        server = Server(process, port, [])
        await _ask(server)
        await _read_requests(reading)
        await _ask(server)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(reading)
        await kiro.stop()
