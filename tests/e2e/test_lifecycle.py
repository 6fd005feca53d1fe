"""Time and departure: pings, clients that leave, slow readers, the end of the program."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import orjson
import pytest

from kiroproxy.simulator import Settings
from tests.e2e.support import House, house, read_answer, request_bytes, turn


async def _open_stream(home: House, text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await home.connect()
    body = orjson.dumps(turn(text, stream=True, max_tokens=1_000_000))
    writer.write(request_bytes("POST", "/v1/messages", body))
    return reader, writer


async def _until(condition: object) -> None:
    """The test's own timeout is the limit."""
    while not condition():  # type: ignore[operator]
        await asyncio.sleep(0.005)


async def test_ping_comes_before_the_first_token_and_in_the_middle(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_PING_INTERVAL_S="0.05") as home:
        home.kiro.faults.always("slow_first_frame", seconds=0.3)
        answer = await home.ask("[[sim:text 3]][[sim:pace 0.15]]", stream=True)
        names = [name for name, _ in answer.events]
        assert names[0] == "message_start"
        assert names[-1] == "message_stop"
        start = names.index("content_block_start")
        assert "ping" in names[1:start]
        assert "ping" in names[start:]
        assert names.count("message_start") == 1


async def test_failure_after_the_first_ping_is_an_event(tmp_path: Path) -> None:
    async with house(
        tmp_path, KIROPROXY_PING_INTERVAL_S="0.05", KIROPROXY_FIRST_BYTE_TIMEOUT_S="0.3"
    ) as home:
        home.kiro.faults.always("slow_first_byte", seconds=30)
        answer = await home.ask("hello", stream=True)
        names = [name for name, _ in answer.events]
        assert answer.status == 200
        assert names[:2] == ["message_start", "ping"]
        assert answer.error["type"] == "timeout_error"


async def test_retry_after_a_ping_shows_one_answer(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_PING_INTERVAL_S="0.02") as home:
        await home.ask("[[sim:say warm up]]")
        home.kiro.faults.next("slow_first_frame", seconds=0.3)
        home.kiro.faults.next("slow_drip", bytes=1, seconds=0)
        reader, _ = await _open_stream(home, "[[sim:say once]]")
        await reader.readuntil(b"event: ping")
        answer = await _drain(reader)
        assert answer.count(b"message_start") == 0  # it came before the ping
        assert answer.count(b"event: message_stop") == 1


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
async def test_client_that_leaves_stops_the_service(reset: bool, tmp_path: Path) -> None:
    async with house(tmp_path, settings=Settings(pace_s=0.01)) as home:
        reader, writer = await _open_stream(home, "[[sim:text 5000]]")
        await reader.readuntil(b"content_block_delta")
        assert home.kiro.open_streams == 1
        if reset:
            writer.transport.abort()
        else:
            writer.close()
        await _until(lambda: home.kiro.received("chat")[0].aborted)
        await _until(lambda: home.kiro.open_streams == 0)


async def test_client_that_leaves_before_the_answer_stops_the_service(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.ask("hello")
        home.kiro.faults.always("slow_first_frame", seconds=60)
        _, writer = await _open_stream(home, "hello")
        await _until(lambda: len(home.chats()) == 2)
        writer.close()
        await _until(lambda: home.kiro.received("chat")[1].aborted)


async def test_many_clients_leaving_leave_nothing_behind(tmp_path: Path) -> None:
    async with house(tmp_path, settings=Settings(pace_s=0.02)) as home:
        await home.ask("[[sim:say warm]]")
        before = len(os.listdir("/proc/self/fd"))
        streams = [await _open_stream(home, "[[sim:text 5000]]") for _ in range(40)]
        for reader, _ in streams:
            await reader.readuntil(b"content_block_delta")
        assert home.kiro.open_streams == 40
        for _, writer in streams:
            writer.close()
        await _until(lambda: home.kiro.open_streams == 0)
        await _until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_slow_reader_pauses_the_service_and_gets_everything(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reader, _ = await _open_stream(home, "[[sim:text 90000]]")
        await reader.readuntil(b"content_block_delta")
        await asyncio.sleep(0.3)  # long enough to send it all if nobody held it back
        assert home.kiro.open_streams == 1
        assert not home.kiro.received("chat")[0].ended_at_s
        rest = await _drain(reader)
        assert rest.count(b'"text_delta"') >= 89_990
        assert b"event: message_stop" in rest


async def _drain(reader: asyncio.StreamReader) -> bytes:
    parts = b""
    while not parts.endswith(b"\r\n0\r\n\r\n"):
        piece = await reader.read(1 << 20)
        assert piece, "the stream was cut"
        parts += piece
    return parts


async def test_stop_lets_a_running_answer_finish(tmp_path: Path) -> None:
    async with house(tmp_path, settings=Settings(pace_s=0.01), KIROPROXY_DRAIN_S="20") as home:
        reader, _ = await _open_stream(home, "[[sim:text 40]]")
        await reader.readuntil(b"content_block_delta")
        stopping = asyncio.create_task(home.app.stop())
        rest = await _drain(reader)
        assert b"event: message_stop" in rest
        await stopping


async def test_stop_ends_what_takes_longer_than_the_drain_time(tmp_path: Path) -> None:
    async with house(tmp_path, settings=Settings(pace_s=0.05), KIROPROXY_DRAIN_S="0.1") as home:
        reader, _ = await _open_stream(home, "[[sim:text 5000]]")
        await reader.readuntil(b"content_block_delta")
        await home.app.stop()
        rest = await reader.read()
        assert b"message_stop" not in rest
        assert not rest.endswith(b"\r\n0\r\n\r\n")


async def test_connection_is_kept_and_pipelining_is_in_order(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        for word in ("one", "two", "three"):
            body = orjson.dumps(turn(f"[[sim:say {word}]]"))
            writer.write(request_bytes("POST", "/v1/messages", body))
        for word in ("one", "two", "three"):
            raw = await reader.readuntil(b"\r\n\r\n")
            length = int(raw.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert orjson.loads(await reader.readexactly(length))["content"][0]["text"] == word
        # kept too: one for the requests, and one for the quota that is asked for meanwhile
        assert home.kiro.connections <= 2


async def test_http_1_0_gets_a_body_without_chunks(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        body = orjson.dumps(turn("[[sim:say old]]", stream=True))
        writer.write(
            request_bytes("POST", "/v1/messages", body).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        )
        answer = await read_answer(reader)
        assert "transfer-encoding" not in answer.headers
        assert answer.headers["connection"] == "close"
        assert answer.text == "old"
