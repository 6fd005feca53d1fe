"""The whole program in this process: raw client → proxy → simulator, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
import orjson

from kiroproxy.api.scaling import SCALE, Scale
from kiroproxy.app import App
from kiroproxy.clock import SystemClock
from kiroproxy.config import load
from kiroproxy.simulator import Settings, Simulator
from kiroproxy.upstream import Reach

KEY = "key-of-the-tests"
Json = dict[str, Any]


class QuickClock(SystemClock):
    """Pauses between tries take no time; everything else is the machine's."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._ahead_s = 0.0
        self.skew_s = 0.0  # of the wall clock, which somebody has set anew

    def pass_by(self, seconds: float) -> None:
        """So much later at once."""
        self._ahead_s += seconds

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead_s

    def wall(self) -> float:
        return super().wall() + self.skew_s

    async def sleep(self, seconds: float) -> None:
        if seconds >= 60:  # background work, not a pause between tries
            await super().sleep(seconds)
        self.pauses.append(seconds)
        await asyncio.sleep(0)


@dataclass
class Answer:
    """One HTTP answer; ``whole`` is False when the connection ended before the message did."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    @property
    def json(self) -> Json:
        value = orjson.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def events(self) -> list[tuple[str, Json]]:
        return parse_sse(self.body)

    @property
    def error(self) -> Json:
        """The error of an error answer or of the error event that ends a stream."""
        if self.headers["content-type"].startswith("text/event-stream"):
            name, data = self.events[-1]
            assert name == "error"
            return data["error"]  # type: ignore[no-any-return]
        return self.json["error"]  # type: ignore[no-any-return]

    @property
    def text(self) -> str:
        """All text of the answer, streamed or not."""
        if self.headers["content-type"].startswith("text/event-stream"):
            deltas = [d["delta"] for n, d in self.events if n == "content_block_delta"]
            return "".join(d["text"] for d in deltas if d["type"] == "text_delta")
        return "".join(b["text"] for b in self.json["content"] if b["type"] == "text")


def parse_sse(body: bytes) -> list[tuple[str, Json]]:
    """Events as (name, data); every event must have both lines and the names must agree."""
    events = []
    for block in body.decode("utf-8").split("\n\n"):
        if block:
            first, second = block.split("\n")
            name = first.removeprefix("event: ")
            data = orjson.loads(second.removeprefix("data: "))
            assert data["type"] == name
            events.append((name, data))
    return events


def request_bytes(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """One request as it goes on the wire."""
    given = {"Host": "proxy", "x-api-key": KEY, "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def turn(text: str, **more: Any) -> Json:
    """A Messages request with one user text."""
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


@dataclass
class House:
    """A running proxy in front of a running simulator."""

    app: App
    kiro: Simulator
    clock: QuickClock
    port: int
    key: str
    state_dir: Path
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.open.append(writer)
        return reader, writer

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | Json = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own; the whole answer."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        reader, writer = await self.connect()
        writer.write(request_bytes(method, path, data, headers))
        answer = await read_answer(reader, method)
        writer.close()
        return answer

    async def ask(self, text: str, **more: Any) -> Answer:
        """A Messages request."""
        return await self.send("POST", "/v1/messages", turn(text, **more))

    def chats(self) -> list[int | None]:
        """The statuses of all generation calls the service saw, in order."""
        return [entry.status for entry in self.kiro.received("chat")]


async def read_answer(reader: asyncio.StreamReader, method: str = "POST") -> Answer:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    head: h11.Response | None = None
    body = b""
    while True:
        try:
            event = client.next_event()
        except h11.RemoteProtocolError:
            assert head is not None
            return _answer(head, body, whole=False)
        if event is h11.NEED_DATA:
            try:
                client.receive_data(await reader.read(65536))
            except ConnectionError:
                client.receive_data(b"")
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return _answer(head, body, whole=True)
        else:
            assert isinstance(event, h11.InformationalResponse), f"the connection ended: {event}"


def _answer(head: h11.Response, body: bytes, *, whole: bool) -> Answer:
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Answer(head.status_code, headers, body, whole)


@asynccontextmanager
async def house(
    tmp_path: Path,
    *accounts: str,
    settings: Settings | None = None,
    reach: Reach | None = None,
    scale: Scale | None = SCALE,
    **environment: str,
) -> AsyncIterator[House]:
    """Start both, stop both. ``accounts``: labels of the simulator's; social alone by default. ``reach``
    and ``scale``: the app's."""
    kiro = Simulator(settings or Settings(pace_s=0))
    url = await kiro.start()
    entries = kiro.demo_credentials(*(accounts or ("social",)))
    given = {
        "PORT": "0",
        "KIRO_CLIENT_TOKEN": KEY,
        "KIROPROXY_STATE_DIR": str(tmp_path / "state"),
        "KIROPROXY_DRAIN_S": "1",
        "KIRO_API_URL": url,
        "KIRO_SOCIAL_AUTH_URL": url,
        "KIRO_OIDC_URL": url,
        "KIRO_AUTH_TOKEN": orjson.dumps(entries).decode(),
        **environment,
    }
    clock = QuickClock()
    app = App(load({}, given, {}, tmp_path), clock, reach=reach, scale=scale)
    try:
        running = await app.start()
        port = int(running.urls[0].rsplit(":", 1)[1])
        home = House(app, kiro, clock, port, running.key.reveal(), tmp_path / "state")
        try:
            yield home
        finally:
            for writer in home.open:
                writer.close()
    finally:
        await app.stop()
        await kiro.stop()
