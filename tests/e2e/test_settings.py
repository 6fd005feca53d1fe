"""Settings of the peers at work: time limits by kind, whole streams, the system prompt file."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import cast

import orjson
import pytest

from kiroproxy.errors import ConfigError
from kiroproxy.handlers.system_prompt import LOOK_S
from tests.e2e.support import House, house, read_answer, request_bytes, turn


def _sent(home: House) -> bytes:
    """The last conversation that the service got."""
    return orjson.dumps(home.kiro.received("chat")[-1].json)


LIMITS = {
    "simple": ("SIMPLE_REQUEST_TIMEOUT_MINUTES", {"max_tokens": 99}),
    "complex": ("REQUEST_TIMEOUT_MINUTES", {"max_tokens": 9999}),
    "stream": ("STREAM_REQUEST_TIMEOUT_MINUTES", {"stream": True}),
}


@pytest.mark.parametrize("kind", LIMITS)
async def test_each_kind_has_its_limit(kind: str, tmp_path: Path) -> None:
    setting, more = LIMITS[kind]
    async with house(tmp_path, **{setting: "0.005"}) as home:
        home.kiro.faults.always("slow_first_byte", seconds=30)
        answer = await home.ask("hello", **more)
        assert answer.status == 504
        assert answer.error["type"] == "timeout_error"
        assert setting in answer.error["message"]


async def test_a_stream_at_its_limit_ends_in_an_error_event(tmp_path: Path) -> None:
    async with house(tmp_path, STREAM_REQUEST_TIMEOUT_MINUTES="0.01") as home:
        answer = await home.ask("[[sim:text 500]][[sim:pace 0.05]]", stream=True)
        assert answer.status == 200
        assert answer.error["type"] == "timeout_error"
        assert "STREAM_REQUEST_TIMEOUT_MINUTES" in answer.error["message"]
        assert answer.text  # what had come was passed on


async def test_whole_streams_are_complete_and_proper(tmp_path: Path) -> None:
    async with house(tmp_path, DISABLE_STREAM="true", KIROPROXY_PING_INTERVAL_S="0.05") as home:
        answer = await home.ask("[[sim:text 20]][[sim:pace 0.02]]", stream=True)
        names = [name for name, _ in answer.events]
        assert (names[0], names[-1]) == ("message_start", "message_stop")
        first = names.index("content_block_start")
        assert "ping" in names[1:first]
        assert "ping" not in names[first:]
        assert len(answer.text) > 20


async def test_system_prompt_is_appended_counted_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("Speak like a pirate.\n")
    async with house(tmp_path, SYSTEM_PROMPT_FILE_PATH=str(path)) as home:
        await home.ask("hello", system="Be brief.")
        assert b"Be brief.\\n\\nSpeak like a pirate." in _sent(home)
        chat = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]}
        await home.send("POST", "/v1/chat/completions", chat)
        assert b"Speak like a pirate." in _sent(home)
        await home.send("POST", "/v1/responses", {"model": "claude-sonnet-4-5", "input": "hi"})
        assert b"Speak like a pirate." in _sent(home)
        counted = await home.send("POST", "/v1/messages/count_tokens", turn("hello"))
        path.write_text("Speak like a whole crew of pirates from the seven seas.\n")
        home.clock.pass_by(LOOK_S)
        await home.ask("hello")
        assert b"whole crew" in _sent(home)
        again = await home.send("POST", "/v1/messages/count_tokens", turn("hello"))
        assert again.json["input_tokens"] > counted.json["input_tokens"]
        path.unlink()
        home.clock.pass_by(LOOK_S)
        await home.ask("hello")
        assert b"whole crew" in _sent(home)
        path.write_text("I am back.")
        home.clock.pass_by(LOOK_S)
        await home.ask("hello")
        assert b"I am back." in _sent(home)


async def test_system_prompt_in_place_of_the_clients(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("Only this.")
    settings = {"SYSTEM_PROMPT_FILE_PATH": str(path), "SYSTEM_PROMPT_MODE": "overwrite"}
    async with house(tmp_path, **settings) as home:
        await home.ask("hello", system="Be brief.")
        assert b"Only this." in _sent(home)
        assert b"Be brief." not in _sent(home)


async def test_system_prompt_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SYSTEM_PROMPT_FILE_PATH: cannot be read"):
        async with house(tmp_path, SYSTEM_PROMPT_FILE_PATH=str(tmp_path / "none")):
            pass


async def test_long_tool_descriptions_move_whole(tmp_path: Path) -> None:
    words = "word " * 100
    tool = {"name": "t", "description": words, "input_schema": {"type": "object"}}
    async with house(tmp_path, MAX_TOOL_DESCRIPTION_LENGTH="200") as home:
        await home.ask("hello", tools=[tool])
        assert f"# Tool t\\n\\n{words}".encode() in _sent(home)


async def test_instance_id_is_told(tmp_path: Path) -> None:
    async with house(tmp_path, INSTANCE_ID="node-1") as home:
        assert (await home.send("GET", "/health")).json["instance"] == "node-1"
        metrics = await home.send("GET", "/metrics")
        assert b'instance_id="node-1"' in metrics.body


async def test_a_body_that_pauses_longer_than_the_setting_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path, SERVER_READ_TIMEOUT_MINUTES="0.003") as home:
        reader, writer = await home.connect()
        whole = request_bytes("POST", "/v1/messages", orjson.dumps(turn("hello")), None)
        writer.write(whole[:-5])
        answer = await read_answer(reader)
        assert answer.status == 408


async def test_a_client_that_reads_nothing_for_the_setting_is_cut(tmp_path: Path) -> None:
    async with house(tmp_path, SERVER_WRITE_TIMEOUT_MINUTES="0.005") as home:
        reader, writer = await home.connect()
        transport = cast(asyncio.Transport, writer.transport)
        transport.pause_reading()
        body = orjson.dumps(turn("[[sim:text 300000]]", stream=True, max_tokens=400_000))
        writer.write(request_bytes("POST", "/v1/messages", body, None))
        while home.app.metrics.active == 0:
            await asyncio.sleep(0.01)
        while home.app.metrics.active:  # the test's own time limit is the failure
            await asyncio.sleep(0.01)
        transport.resume_reading()
        seen = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := await reader.read(65536):
                seen += piece
        assert seen.startswith(b"HTTP/1.1 200 OK")
        assert b"message_stop" not in seen


async def test_a_renewal_takes_no_longer_than_the_setting(tmp_path: Path) -> None:
    async with house(tmp_path, TOKEN_REFRESH_TIMEOUT="1s", REQUEST_MAX_RETRIES="0") as home:
        home.kiro.tokens.expire_access("social")
        home.kiro.faults.always("slow_first_byte", route="refresh", seconds=30)
        answer = await home.ask("hello")
        assert answer.status in (502, 503, 504)
        assert answer.error["message"]
