"""A transport that plays bytes, a server on a real port, and h11 as the client that checks us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h11

from kiroproxy.errors import Kind, KiroProxyError
from kiroproxy.http import Exchange, HttpLimits, HttpServer, Request, Response, Route, Router
from kiroproxy.http.answering import Answerer
from kiroproxy.http.connection import Connection
from kiroproxy.http.responses import DateLine
from kiroproxy.http.shared import Shared

STATUS = {
    Kind.UNAUTHENTICATED: 401,
    Kind.NOT_FOUND: 404,
    Kind.METHOD_NOT_ALLOWED: 405,
    Kind.REQUEST_TIMEOUT: 408,
    Kind.TOO_LARGE: 413,
    Kind.UPGRADE_REQUIRED: 426,
    Kind.HEADERS_TOO_LARGE: 431,
    Kind.RATE_LIMITED: 429,
    Kind.INTERNAL: 500,
    Kind.OVERLOADED: 529,
}


def render(request: Request, error: KiroProxyError) -> Response:
    """A dialect for tests: the path (``-`` when unknown) and the message."""
    text = f"{request.path or '-'}: {error.message}"
    return Response(STATUS.get(error.kind, 400), text.encode())


async def echo(request: Request, exchange: Exchange) -> Response:
    """Answers with what it was sent."""
    line = f"{request.method} {request.path} {request.query} {exchange.params.get('id', '')}\n"
    return Response(200, line.encode() + request.body)


ROUTES = (
    Route("POST", "/v1/messages", echo, api=True),
    Route("GET", "/v1/models", echo, api=True),
    Route("GET", "/v1/models/{id}", echo, api=True),
    Route("GET", "/health", echo),
    Route("GET", "/", echo),
)


class FakeTransport(asyncio.Transport):
    """What a connection does to its socket, recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Connection | None = None
        self.writes: list[bytes] = []
        self.unsent_bytes = 0
        self.reading = True
        self.eof_written = False
        self.closed = False
        self.aborted = False

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.7", 4711) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "write after close"
        assert not self.eof_written, "write after write_eof"
        self.writes.append(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof_written = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._lose)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def _lose(self) -> None:
        assert self.protocol is not None
        self.protocol.connection_lost(None)


@dataclass
class Bench:
    """One connection on a fake transport."""

    connection: Connection
    transport: FakeTransport
    shared: Shared

    async def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            if piece and not self.transport.closed:
                self.connection.data_received(piece)
        await settle()

    async def finish(self) -> None:
        """Hang up and prove that nothing is left."""
        if not self.transport.closed:
            self.connection.eof_received()
            self.transport.close()
        await settle()
        assert self.shared.connections == set()
        assert self.shared.tasks == set()


@asynccontextmanager
async def bench(
    routes: Iterable[Route] = ROUTES, limits: HttpLimits | None = None, loop: Any = None
) -> AsyncIterator[Bench]:
    """``loop``: whose clock counts, where that is in the test's hand."""
    shared = Shared(
        loop or asyncio.get_running_loop(),
        Router(routes),
        limits or HttpLimits(),
        Answerer(render),
        DateLine(lambda: 0.0),
        lambda: None,
    )
    connection = Connection(shared)
    transport = FakeTransport()
    transport.protocol = connection
    connection.connection_made(transport)
    made = Bench(connection, transport, shared)
    yield made
    await made.finish()


async def settle(passes: int = 12) -> None:
    """Let everything that can run, run."""
    for _ in range(passes):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in another task; the test's own timeout is the limit."""
    while not condition():
        await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(
    routes: Iterable[Route] = ROUTES, limits: HttpLimits | None = None
) -> AsyncIterator[tuple[HttpServer, int]]:
    """A server on a free port; afterwards nothing of it may be left."""
    server = HttpServer(Router(routes), limits, error_renderer=render)
    ((_, port),) = await server.start("127.0.0.1", 0)
    try:
        yield server, port
    finally:
        await server.shutdown(0)
    assert (server.connections, server.active) == (0, 0)


class Client:
    """A raw client: what it sends is up to the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read_until(self, mark: bytes) -> bytes:
        return await self.reader.readuntil(mark)

    async def read_all(self) -> bytes:
        return await self.reader.read()


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        await settle(3)


def request(
    method: str = "GET", path: str = "/health", body: bytes = b"", *headers: bytes
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: x", *headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass
class Answer:
    """As h11 understood it."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    informational: list[int] = field(default_factory=list)


def parse_answers(data: bytes, *methods: str, eof: bool = False) -> list[Answer]:
    """The answers in ``data``, one per method; h11 raises if a byte is out of place."""
    client = h11.Connection(h11.CLIENT)
    client.receive_data(data)
    if eof:
        client.receive_data(b"")
    answers = []
    for method in methods:
        client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        client.send(h11.EndOfMessage())
        answers.append(_parse_one(client))
        if client.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            client.start_next_cycle()
    if not eof:
        assert client.trailing_data[0] == b"", "bytes behind the last answer"
    return answers


def _parse_one(client: h11.Connection) -> Answer:
    informational: list[int] = []
    answer = None
    while True:
        event = client.next_event()
        if isinstance(event, h11.InformationalResponse):
            informational.append(event.status_code)
        elif isinstance(event, h11.Response):
            headers = {name.decode(): value.decode() for name, value in event.headers}
            answer = Answer(event.status_code, headers, informational=informational)
        elif isinstance(event, h11.Data):
            assert answer is not None
            answer.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert answer is not None
            return answer
        else:
            raise AssertionError(f"unexpected {event!r}")
