"""Guards of the HTTP server's hot spots: chunks out, small requests, large bodies in.

The losing variants stand beside ours in the same run, so the comments that quote them can be checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import h11
import pytest

from kiroproxy.http import Exchange, HttpLimits, Request, Response, Route, Router
from kiroproxy.http.answering import Answerer
from kiroproxy.http.body import ChunkedBody, SizedBody
from kiroproxy.http.connection import Connection
from kiroproxy.http.head import HeadReader
from kiroproxy.http.responses import DateLine
from kiroproxy.http.shared import Shared

MIB = 1024 * 1024
READ_BYTES = 256 * 1024  # what asyncio takes from a socket at most
EVENT = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n'
HEAD = (
    b"POST /v1/messages?beta=true HTTP/1.1\r\n"
    b"host: 127.0.0.1:8080\r\n"
    b"authorization: Bearer 0123456789abcdef0123456789abcdef\r\n"
    b"anthropic-version: 2023-06-01\r\n"
    b"anthropic-beta: claude-code-20250219,interleaved-thinking-2025-05-14\r\n"
    b"user-agent: claude-cli/2.1.329 (external, sdk-cli)\r\n"
    b"x-app: cli\r\n"
    b"x-stainless-lang: js\r\nx-stainless-retry-count: 0\r\nx-stainless-timeout: 600\r\n"
    b"accept: application/json\r\naccept-encoding: gzip, deflate, br, zstd\r\n"
    b"content-type: application/json\r\ncontent-length: 80\r\n\r\n"
)
SMALL_REQUEST = HEAD + b"x" * 80


class Sink(asyncio.Transport):
    """Takes everything, keeps nothing but the count."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def write(self, data: Any) -> None:
        self.taken += len(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """No buffer here."""

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Stays open."""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def connect(loop: asyncio.AbstractEventLoop, handler: Any) -> tuple[Connection, Sink]:
    shared = Shared(
        loop,
        Router([Route("POST", "/v1/messages", handler, api=True)]),
        HttpLimits(),
        Answerer(lambda request, error: Response(500)),
        DateLine(),
        lambda: None,
    )
    connection = Connection(shared)
    sink = Sink()
    connection.connection_made(sink)
    return connection, sink


@pytest.mark.benchmark(group="http: 1000 chunks out")
@pytest.mark.parametrize("how", ["exchange", "h11"])
def test_chunks_out(benchmark: Any, loop: asyncio.AbstractEventLoop, how: str) -> None:
    connection, sink = connect(loop, None)
    head = HeadReader(HttpLimits()).feed(HEAD)
    assert head is not None
    request = head[0].to_request(b"", "req_0", "")
    exchange = Exchange(connection, request, {}, DateLine(), api=True)
    exchange.start(200, [])
    sender = h11.Connection(h11.CLIENT)
    sender.send(
        h11.Request(
            method="POST", target="/", headers=[("host", "x"), ("transfer-encoding", "chunked")]
        )
    )

    runs = 0

    def ours() -> None:
        nonlocal runs
        runs += 1
        write = exchange.write
        for _ in range(1000):
            write(EVENT)

    def theirs() -> None:
        nonlocal runs
        runs += 1
        for _ in range(1000):
            sink.write(sender.send(h11.Data(data=EVENT)))

    sink.taken = 0
    benchmark.pedantic(ours if how == "exchange" else theirs, rounds=30, warmup_rounds=1)
    assert sink.taken == runs * 1000 * len(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))


@pytest.mark.benchmark(group="http: small requests")
def test_small_requests(benchmark: Any, loop: asyncio.AbstractEventLoop) -> None:
    """100 requests of a real client's size, answered one after another, without a socket."""

    served = 0

    async def handler(request: Request, exchange: Exchange) -> Response:
        nonlocal served
        served += len(request.body) == 80
        return Response(200, b"{}")

    connection, sink = connect(loop, handler)

    runs = 0

    async def serve() -> None:
        nonlocal runs
        runs += 1
        for _ in range(100):
            connection.data_received(SMALL_REQUEST)
            while connection._exchange is not None:
                await asyncio.sleep(0)

    benchmark.pedantic(lambda: loop.run_until_complete(serve()), rounds=20, warmup_rounds=1)
    connection.connection_lost(None)
    assert served == runs * 100
    assert connection.sent_bytes == sink.taken > served * 200


def chunked(body: bytes, size: int) -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def feed(reader: Any, wire: bytes) -> bytes:
    for at in range(0, len(wire), READ_BYTES):
        reader.feed(wire[at : at + READ_BYTES])
    return bytes(reader.take())


def feed_h11(head: bytes, wire: bytes) -> bytes:
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(head)
    parser.next_event()
    pieces = []
    for at in range(0, len(wire), READ_BYTES):
        parser.receive_data(wire[at : at + READ_BYTES])
        while isinstance(event := parser.next_event(), h11.Data):
            pieces.append(event.data)
    return b"".join(pieces)


@pytest.mark.benchmark(group="http: 32 MiB body in")
@pytest.mark.parametrize("how", ["sized", "sized h11", "chunked", "chunked h11"])
def test_large_bodies_in(benchmark: Any, how: str) -> None:
    body = bytes(32 * MIB)
    head = b"POST / HTTP/1.1\r\nHost: x\r\n"
    if how.startswith("sized"):
        wire, line = body, b"Content-Length: %d\r\n\r\n" % len(body)
    else:
        wire, line = chunked(body, 16_000), b"Transfer-Encoding: chunked\r\n\r\n"
    if how.endswith("h11"):
        result = benchmark.pedantic(lambda: feed_h11(head + line, wire), rounds=5)
    elif how == "sized":
        result = benchmark.pedantic(lambda: feed(SizedBody(len(body)), wire), rounds=5)
    else:
        result = benchmark.pedantic(lambda: feed(ChunkedBody(len(body)), wire), rounds=5)
    assert result == body
