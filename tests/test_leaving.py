"""Many at once against a real process: two hundred clients that leave, SIGTERM in the middle of streams."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import product
from pathlib import Path

import orjson
import pytest

from tests.e2e.speakers import SPEAKERS, Wish
from tests.e2e.support import read_answer, request_bytes
from tests.processes import Server, Stream, servers, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

CLIENTS = 200
SLACK_KB = 4_096  # of memory that a second crowd may leave behind; the first one's is the program's to keep
OPEN = {"KIROPROXY_ACCOUNT_CONCURRENCY": "0", "MAX_CONCURRENT_SESSIONS": "0"}


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def begin(server: Server, dialect: str, stream: bool, text: str) -> Stream:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    server.open.append(writer)
    speaker = SPEAKERS[dialect]
    body = orjson.dumps(speaker.request(Wish(text, max_tokens=1_000_000), stream=stream))
    writer.write(request_bytes("POST", speaker.path, body))
    return reader, writer


async def test_two_hundred_clients_leaving_leave_nothing_behind(tmp_path: Path) -> None:
    async with servers(tmp_path, pace_s=0.05, **OPEN) as (server, kiro):
        pid = server.process.pid
        assert (await server.ask("[[sim:say warm]]")).text == "warm"
        before = descriptors(pid)
        memory: list[int] = []
        for _ in range(3):
            cells = list(product(SPEAKERS, (True, False)))
            crowd = [
                await begin(server, *cells[number % len(cells)], "[[sim:text 600]]")
                for number in range(CLIENTS)
            ]
            await until(lambda: kiro.open_streams == CLIENTS)
            for number, (_, writer) in enumerate(crowd):
                if number % 3:
                    writer.close()
                else:
                    writer.transport.abort()
            await until(lambda: kiro.open_streams == 0)
            await until(lambda: descriptors(pid) <= before)
            assert (await server.ask("[[sim:say fine]]")).text == "fine"
            memory.append(resident_kb(pid))
        assert memory[-1] <= memory[0] + SLACK_KB, memory


async def test_sigterm_cuts_no_stream_within_the_grace_time(tmp_path: Path) -> None:
    """Streams and whole answers in every dialect are finished; who comes later is turned away."""
    cells = list(product(SPEAKERS, (True, False))) * 3
    async with servers(tmp_path, pace_s=0.02, **OPEN) as (server, kiro):
        running = [await begin(server, *cell, "[[sim:text 40]]") for cell in cells]
        await until(lambda: kiro.open_streams == len(cells))
        server.tell(signal.SIGTERM)
        heard = await asyncio.gather(*(read_answer(reader) for reader, _ in running))
        for (dialect, _), answer in zip(cells, heard, strict=True):
            assert answer.whole
            said = SPEAKERS[dialect].hear(answer)
            assert (len(said.text.split()), said.stop, said.error) == (40, "end", "")
        assert await server.process.wait() == 0
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_sigterm_cuts_what_takes_longer_without_a_proper_end(tmp_path: Path) -> None:
    async with servers(tmp_path, pace_s=0.05, **OPEN, KIROPROXY_DRAIN_S="0.5") as (server, kiro):
        cells = [(dialect, True) for dialect in SPEAKERS]
        running = [await begin(server, *cell, "[[sim:text 5000]]") for cell in cells]
        await until(lambda: kiro.open_streams == len(cells))
        for reader, _ in running:
            await reader.readuntil(b"delta")
        server.tell(signal.SIGTERM)
        for reader, _ in running:
            rest = await reader.read()
            for end in (b"message_stop", b"[DONE]", b"response.completed", b"\r\n0\r\n\r\n"):
                assert end not in rest
        await server.process.wait()
        await until(lambda: kiro.open_streams == 0)
