"""One tiny answer through the whole path, and whether it streams: when its pieces arrive.

It goes through the server that clients use, if that runs, with all that stands in front of it; else
through one that is started for it. Without leave to spend credits the server is tried in front of the
built-in simulator, which tells at least whether this machine holds streams up.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from kiroproxy.app import App
from kiroproxy.cli.doctor.examination import Examination, demo_environment
from kiroproxy.cli.doctor.report import Line, fail, ok, skip
from kiroproxy.cli.setup.target import Target
from kiroproxy.config import Config
from kiroproxy.errors import KiroProxyError
from kiroproxy.simulator import Settings, Simulator
from kiroproxy.upstream import Timeouts

_TIMEOUTS: Final = Timeouts(connect_s=4.0, first_byte_s=25.0, idle_s=25.0, total_s=28.0)
_PROMPT: Final = "Count from one to thirty in words, one word a line, and say nothing else."
_LOCAL_PROMPT: Final = "[[sim:text 15]]"
_MODEL: Final = "claude-haiku-4.5"
_MAX_TOKENS: Final = 300
_MOST_BYTES: Final = 1_000_000
# Thirty words take a model at least half a second; one burst arrives within some milliseconds.
_BURST_S: Final = 0.05
_UNBUFFER: Final = (
    "something between server and client holds answers back: switch buffering and compression off "
    "there (nginx: proxy_buffering off; gzip off)"
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Times in seconds from the request on; ``pieces``: at how many moments something came."""

    status: int
    first_s: float
    last_s: float
    pieces: int
    text: str
    complete: bool
    error: str

    @property
    def is_burst(self) -> bool:
        """Everything came at one moment."""
        return self.last_s - self.first_s < _BURST_S


async def answer(exam: Examination) -> list[Line]:
    """The answer, and its streaming."""
    if not exam.may_spend:
        return [skip("not tried: it costs a little credit (kiroproxy doctor --yes)")]
    if exam.elsewhere is None and not (exam.able() and exam.is_reachable):
        return [skip("not tried: no sign-in, or no way to the service")]
    if exam.elsewhere is not None and not exam.running:
        return [skip("not tried: no server answers")]
    async with _server(exam) as (target, where):
        model = next((name for name in exam.models if "haiku" in name), None)
        return _judge(await _ask(exam, target, model or _MODEL, _PROMPT), where)


async def local_stream(exam: Examination) -> list[Line]:
    """Without credits: the server alone."""
    if exam.may_spend:
        return []
    simulator = Simulator(Settings(pace_s=0.02))
    url = await simulator.start()
    try:
        with tempfile.TemporaryDirectory(prefix="kiroproxy-doctor-") as folder:
            config = exam.config.with_environment(demo_environment(simulator, url))
            config = replace(config, state_dir=Path(folder), home=Path(folder))
            async with _started(config) as target:
                measured = await _ask(exam, target, "claude-sonnet-4.5", _LOCAL_PROMPT)
    finally:
        await simulator.stop()
    return _judge(measured, "this server in front of the built-in simulator")


def _judge(measured: Measured, where: str) -> list[Line]:
    if measured.status != 200 or measured.error:
        said = measured.error or f"HTTP {measured.status}"
        return [fail(f"{where}: {said}", "the log says more: LOG_LEVEL=debug kiroproxy server")]
    if not measured.complete or not measured.text.strip():
        return [fail(f"{where}: the answer has no proper end", "see the server's log")]
    words = len(measured.text.split())
    times = f"first piece after {measured.first_s:.2f} s, last after {measured.last_s:.2f} s"
    text = f"{where}: {words} words in {measured.pieces} pieces; {times}"
    if measured.is_burst:
        return [fail(f"not streamed: {text}", _UNBUFFER)]
    return [ok(f"streamed: {text}")]


@asynccontextmanager
async def _server(exam: Examination) -> AsyncIterator[tuple[Target, str]]:
    if exam.running and exam.target is not None:
        yield exam.target, exam.target.url
        return
    async with _started(exam.config) as target:
        yield target, "a server started for this"


@asynccontextmanager
async def _started(config: Config) -> AsyncIterator[Target]:
    """A server on a free port of loopback."""
    listening = replace(config.server, host="127.0.0.1", port=0, drain_s=1.0)
    app = App(replace(config, server=listening))
    try:
        running = await app.start()
        yield Target(running.urls[0], running.key)
    finally:
        await app.stop()


async def _ask(exam: Examination, target: Target, model: str, prompt: str) -> Measured:
    """One streamed message. A failure is told in ``error``."""
    client = await exam.client(target.url)
    key = target.key.reveal().encode()
    headers = [(b"content-type", b"application/json"), (b"x-api-key", key)]
    headers.append((b"anthropic-version", b"2023-06-01"))
    message = {"role": "user", "content": prompt}
    body = {"model": model, "max_tokens": _MAX_TOKENS, "stream": True, "messages": [message]}
    began_s, arrived_s, data = time.monotonic(), list[float](), bytearray()

    def take(piece: bytes) -> None:
        if b"_delta" in piece:  # what comes before the first word may be a ping
            arrived_s.append(time.monotonic() - began_s)
        if len(data) < _MOST_BYTES:
            data.extend(piece)

    status, error = 0, ""
    url = f"{target.url}/v1/messages"
    try:
        response = await client.send("POST", url, headers, json.dumps(body).encode(), _TIMEOUTS)
        status = response.status
        await response.pipe(take)
    except KiroProxyError as failed:
        error = failed.message
    first_s, last_s = (arrived_s[0], arrived_s[-1]) if arrived_s else (0.0, 0.0)
    text, is_complete, said = _read(bytes(data), status)
    return Measured(status, first_s, last_s, len(arrived_s), text, is_complete, error or said)


def _read(data: bytes, status: int) -> tuple[str, bool, str]:
    """Text, whether it has its end, and the error, if there is one."""
    lines = data.decode("utf-8", "replace").splitlines()
    if status != 200:
        return "", False, _error(data.decode("utf-8", "replace")) or f"HTTP {status}"
    events = [_object(line[6:]) for line in lines if line.startswith("data: ")]
    text = "".join(str(_object(event.get("delta")).get("text", "")) for event in events)
    errors = [_error(json.dumps(event)) for event in events if event.get("type") == "error"]
    ended = any(event.get("type") == "message_stop" for event in events)
    return text, ended, "".join(errors[:1])


def _error(text: str) -> str:
    return str(_object(_object(text).get("error")).get("message", ""))


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}
