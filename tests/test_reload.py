"""SIGHUP on a real process: what is applied, what is not, and that no stream is dropped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from kiroproxy.simulator import Settings, Simulator
from tests.e2e.support import Answer, read_answer, request_bytes, turn


class Server:
    """A running ``kiroproxy server`` with its config file."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, config: Path) -> None:
        self.process = process
        self.port = port
        self.config = config
        self.writers: list[asyncio.StreamWriter] = []

    async def said(self, words: str) -> str:
        """Wait for a log line with ``words``; the test's own timeout is the limit."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            if words in line.decode():
                return line.decode()
        raise AssertionError(f"it ended without saying {words!r}")

    async def open(self, key: str, text: str, **more: object) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        body = orjson.dumps(turn(text, **more))
        writer.write(request_bytes("POST", "/v1/messages", body, {"x-api-key": key}))
        return reader

    async def ask(self, key: str, text: str = "hi", **more: object) -> Answer:
        return await read_answer(await self.open(key, text, **more))

    async def reload(self, text: str, words: str) -> str:
        self.config.write_text(text)
        self.process.send_signal(signal.SIGHUP)
        return await self.said(words)


def _toml(kiro: Simulator, url: str, tmp_path: Path, key: str, *labels: str, more: str = "") -> str:
    tokens = json.dumps(json.dumps(kiro.demo_credentials(*labels)))
    names = ("kiro_api_url", "kiro_social_auth_url", "kiro_oidc_url")
    urls = "".join(f'{name} = "{url}"\n' for name in names)
    state = tmp_path / "state"
    return (
        f'port = 0\nkiro_client_token = "{key}"\nkiroproxy_state_dir = "{state}"\n'
        f"kiro_auth_token = {tokens}\n{urls}{more}\n"
    )


@asynccontextmanager
async def _running(tmp_path: Path) -> AsyncIterator[tuple[Server, Simulator, str]]:
    kiro = Simulator(Settings(pace_s=0))
    url = await kiro.start()
    config = tmp_path / "config.toml"
    config.touch(0o600)
    config.write_text(_toml(kiro, url, tmp_path, "first-key", "social"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kiroproxy", "server", "--config", str(config)),
        env={"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": os.getcwd()},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        first = (await process.stdout.readline()).decode()
        server = Server(process, int(first.strip().rsplit(":", 1)[1]), config)
        yield server, kiro, url
        for writer in server.writers:
            writer.close()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await kiro.stop()


async def test_reload_under_a_stream(tmp_path: Path) -> None:
    async with _running(tmp_path) as (server, kiro, url):
        stream = await server.open("first-key", "[[sim:text 60]][[sim:pace 0.05]]", stream=True)
        begun = await stream.readuntil(b"content_block_delta")
        (tmp_path / "prompt.txt").write_text("Speak like a pirate.")
        more = 'system_prompt_file_path = "prompt.txt"\nmetrics_enabled = false\n'
        text = _toml(kiro, url, tmp_path, "second-key", "idc", more=more)
        line = await server.reload(text, "need a restart")
        assert line.rstrip().endswith("METRICS_ENABLED")
        assert "second-key" not in await server.said("reloaded: 1 accounts")
        assert (await server.ask("first-key")).status == 401
        answer = await server.ask("second-key")
        assert answer.status == 200
        assert b"Speak like a pirate." in kiro.received("chat")[-1].body
        accounts = {entry.account for entry in kiro.received("chat")}
        assert len(accounts) == 2  # the removed one finishes its stream, the new one serves
        rest = await stream.readuntil(b"message_stop")
        assert b"event: error" not in begun + rest


async def test_broken_settings_keep_the_old_ones(tmp_path: Path) -> None:
    async with _running(tmp_path) as (server, _, _):
        line = await server.reload("port = nonsense\n", "not reloaded")
        assert "the old settings stay" in line
        await server.reload("log_level = 'loud'\n", "log_level: must be one of")
        assert (await server.ask("first-key")).status == 200


async def test_what_fails_late_changes_nothing(tmp_path: Path) -> None:
    async with _running(tmp_path) as (server, kiro, url):
        (tmp_path / "prompt.txt").write_text("Speak like a pirate.")
        more = 'system_prompt_file_path = "prompt.txt"\nlog_file = "{file}"\n'
        text = _toml(kiro, url, tmp_path, "second-key", "idc", more=more.format(file=tmp_path))
        line = await server.reload(text, "not reloaded")
        assert "the old settings stay: LOG_FILE" in line
        assert (await server.ask("second-key")).status == 401
        assert (await server.ask("first-key")).status == 200
        assert b"pirate" not in kiro.received("chat")[-1].body
        text = _toml(kiro, url, tmp_path, "second-key", "idc", more=more.format(file="a.log"))
        (tmp_path / "prompt.txt").write_bytes(b"\xff\xfe")
        assert "SYSTEM_PROMPT_FILE_PATH" in await server.reload(text, "not reloaded")
        assert (await server.ask("first-key")).status == 200
        assert len({entry.account for entry in kiro.received("chat")}) == 1


async def test_a_new_sign_in_is_taken_up_without_being_told(tmp_path: Path) -> None:
    async with _running(tmp_path) as (server, kiro, _):
        folder = tmp_path / "state" / "sign-ins"
        folder.mkdir(parents=True, mode=0o700)
        fields = kiro.demo_credentials("idc")[0]
        (folder / "0a1b2c3d.json").write_text(json.dumps({"description": "new", **fields}))
        assert "2 accounts" in await server.said("sign-ins were read again")
