"""kill -9 at any moment: the sign-in that is stored is one that the service takes, the state is readable.

The service's access tokens live for a second, which is less than the proxy wants: every request renews. It
forgets an old refresh token at the first use of what came for it: whoever uses before storing, or stores
half, has lost the sign-in when it is killed.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import orjson
import pytest

from kiroproxy.simulator import Settings, Simulator
from tests.e2e.support import KEY, read_answer, request_bytes, turn
from tests.processes import environment

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="servers by fork"),
    pytest.mark.timeout(180),
]
KILLS = 200
MOST_S = 0.08  # of a server's life; about what its start and a few requests take


class Nursery:
    """The process that forks servers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def start(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return int(await self._word("pid"))

    async def port(self) -> int:
        return int(await self._word("port"))

    async def gone(self) -> None:
        """Also when the server had time to say where it listens."""
        while await self.line() != "gone":
            pass

    async def _word(self, name: str) -> str:
        found, _, value = (await self.line()).partition(" ")
        assert found == name, found
        return value

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()


@asynccontextmanager
async def nursery(given: dict[str, str], cwd: Path) -> AsyncIterator[Nursery]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.forking",
        cwd=cwd, env={"PYTHONPATH": str(Path(__file__).parent.parent), **given},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Nursery(process)
    finally:
        process.kill()
        await process.wait()


async def ask(port: int, number: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = orjson.dumps(turn(f"[[sim:say ok]] {number}", stream=number % 2 == 0))
        writer.write(request_bytes("POST", "/v1/messages", body, {"x-api-key": KEY}))
        return (await read_answer(reader)).text
    finally:
        writer.close()


async def _load(port: int, answers: list[str]) -> None:
    """Requests without an end, until the server is gone."""
    for number in range(1_000_000):
        answers.append(await ask(port, number))


def _check(state: Path, kiro: Simulator, first: str) -> None:
    """Nothing torn, nothing moved aside as damaged, and a sign-in that is alive."""
    assert [path.name for path in state.glob("*.db*") if ".broken-" in path.name] == []
    if (state / "state.db").exists():
        with closing(sqlite3.connect(state / "state.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    records = [orjson.loads(path.read_bytes()) for path in (state / "credentials").glob("*.json")]
    stored = [record["refreshToken"] for record in records if "refreshToken" in record]
    assert len(stored) <= 1
    assert kiro.tokens.by_refresh(stored[0] if stored else first) is not None


async def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    kiro = Simulator(Settings(pace_s=0, token_ttl_s=1, old_until_use=True, keep_requests=100_000))
    url = await kiro.start()
    try:
        await _kill_again_and_again(kiro, url, tmp_path)
    finally:
        await kiro.stop()


async def _kill_again_and_again(kiro: Simulator, url: str, tmp_path: Path) -> None:
    entries = kiro.demo_credentials("social")
    state, rand = tmp_path / "state", random.Random(20_261)
    answers: list[str] = []
    async with nursery(environment(tmp_path, url, entries), tmp_path) as servers:
        for number in range(KILLS):
            pid = await servers.start()
            listening = asyncio.Event()
            loading = asyncio.create_task(_until_gone(servers, answers, listening))
            if number % 4:  # the others may die before they listen
                await listening.wait()
            await asyncio.sleep(rand.uniform(0, MOST_S))
            os.kill(pid, signal.SIGKILL)
            await loading
            _check(state, kiro, entries[0]["refreshToken"])
        # What is left of all that serves.
        pid = await servers.start()
        port = await servers.port()
        assert await ask(port, 0) == "ok"
        os.kill(pid, signal.SIGKILL)
        await servers.gone()
    assert set(answers) == {"ok"}
    refreshes = kiro.received("refresh")
    assert len(refreshes) > KILLS / 2 and not any(entry.violations for entry in refreshes)


async def _until_gone(servers: Nursery, answers: list[str], listening: asyncio.Event) -> None:
    """Ask as soon as the server listens, which it may never do."""
    loads: list[asyncio.Task[None]] = []
    while (line := await servers.line()) != "gone":
        listening.set()
        port = int(line.removeprefix("port "))
        loads += [asyncio.create_task(_load(port, answers)) for _ in range(3)]
    for load in loads:
        load.cancel()
    await asyncio.gather(*loads, return_exceptions=True)
