"""Bounds on memory and time, on real sockets: of one connection, of an address, of all together."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest

from kiroproxy.errors import Kind, RequestError
from kiroproxy.http import Exchange, HttpLimits, Request, Response, Route
from tests.http.support import (
    Client,
    bench,
    client_of,
    echo,
    parse_answers,
    request,
    serving,
    settle,
    until,
)

KEY = b"x-api-key: right"
OVERLOADED = 529
HOUR_S = 3600.0


def check(request: Request) -> None:
    """Of the head alone: the body has not been read."""
    assert request.body == b""
    if request.headers.get("x-api-key") != "right":
        raise RequestError("no key", kind=Kind.UNAUTHENTICATED)


class Held:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.seen: list[bytes] = []

    async def __call__(self, request: Request, exchange: Exchange) -> Response:
        self.seen.append(request.body)
        await self.go.wait()
        return Response(200, b"%d" % len(request.body))


def guarded(held: Held | None = None) -> list[Route]:
    return [
        Route("POST", "/v1/messages", held or echo, api=True, check=check),
        Route("GET", "/v1/models", echo, api=True, check=check),
        Route("GET", "/health", echo),
    ]


# --- the key comes before the body ---


def head(length: int, *headers: bytes, path: bytes = b"/v1/messages") -> bytes:
    lines = [b"POST %b HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % length, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def test_stranger_is_refused_before_his_body_is_read() -> None:
    async with serving(guarded()) as (server, port), client_of(port) as client:
        await client.send(head(32 * 1024 * 1024))
        answer = parse_answers(await client.read_all(), "POST", eof=True)[0]
        assert answer.status == 401
        assert answer.headers["connection"] == "close"
        assert server.held_bytes == 0


async def test_stranger_who_goes_on_sending_still_sees_the_answer() -> None:
    async with serving(guarded()) as (server, port), client_of(port) as client:
        await client.send(head(8_000_000))
        sending = asyncio.ensure_future(client.send(bytes(8_000_000)))
        answer = parse_answers(await client.read_all(), "POST", eof=True)[0]
        assert answer.status == 401
        await sending
        assert server.held_bytes == 0


async def test_stranger_who_never_stops_is_cut() -> None:
    limits = HttpLimits(linger_bytes=1_000_000, linger_s=HOUR_S, linger_total_s=HOUR_S)
    async with serving(guarded(), limits) as (server, port), client_of(port) as client:
        await client.send(head(10_000_000_000))
        with pytest.raises(ConnectionError):
            for _ in range(1_000):  # a hundred times what is let pass
                await client.send(bytes(100_000))
        await until(lambda: server.connections == 0)


async def test_stranger_is_refused_instead_of_100_continue() -> None:
    async with bench(guarded()) as b:
        await b.feed(head(10, b"Expect: 100-continue"))
        (answer,) = parse_answers(b.transport.written, "POST", eof=True)
        assert (answer.status, answer.informational) == (401, [])


async def test_whoever_has_the_key_is_let_in_with_100_continue() -> None:
    async with bench(guarded()) as b:
        await b.feed(head(2, b"Expect: 100-continue", KEY), b"hi")
        (answer,) = parse_answers(b.transport.written, "POST")
        assert (answer.status, answer.informational) == (200, [100])
        assert answer.body.endswith(b"hi")


async def test_stranger_whose_body_is_here_keeps_his_connection() -> None:
    async with bench(guarded()) as b:
        await b.feed(request("POST", "/v1/messages", b"small"), request("GET", "/v1/models"))
        await b.feed(request("GET", "/v1/models", b"", KEY))
        answers = parse_answers(b.transport.written, "POST", "GET", "GET")
        assert [answer.status for answer in answers] == [401, 401, 200]


async def test_the_key_is_asked_for_with_each_body_and_not_once_a_connection() -> None:
    async with bench(guarded()) as b:
        await b.feed(request("POST", "/v1/messages", b"small", KEY), head(10))
        answers = parse_answers(b.transport.written, "POST", "POST", eof=True)
        assert [answer.status for answer in answers] == [200, 401]


async def test_chunked_stranger_is_refused_at_the_head() -> None:
    async with bench(guarded()) as b:
        await b.feed(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        (answer,) = parse_answers(b.transport.written, "POST", eof=True)
        assert answer.status == 401


# --- bodies that nobody reads ---


@pytest.mark.parametrize("path", ["/nowhere", "/health"])
async def test_body_that_nobody_reads_is_dropped_while_it_is_small(path: str) -> None:
    limits = HttpLimits(max_dropped_bytes=1_000, max_held_bytes=100)
    async with bench(guarded(), limits) as b:
        method = "GET" if path == "/health" else "POST"
        wire = request(method, path, bytes(1_000))
        await b.feed(wire[:-500], wire[-500:], request())
        first, second = parse_answers(b.transport.written, method, "GET")
        assert first.status == (200 if path == "/health" else 404)
        assert first.body.count(b"\0") == 0
        assert second.status == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/nowhere", 404), ("/health", 405), ("/v1/models", 405)]
)
async def test_longer_ones_are_refused_at_the_head(path: str, status: int) -> None:
    async with bench(guarded(), HttpLimits(max_dropped_bytes=1_000)) as b:
        await b.feed(head(1_001, path=path.encode()))
        (answer,) = parse_answers(b.transport.written, "POST", eof=True)
        assert answer.status == status


async def test_long_body_of_a_get_is_413() -> None:
    async with bench(guarded(), HttpLimits(max_dropped_bytes=1_000)) as b:
        await b.feed(b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
        (answer,) = parse_answers(b.transport.written, "GET", eof=True)
        assert answer.status == 413


# --- all requests together ---


async def test_all_bodies_together_have_a_limit_until_they_are_answered() -> None:
    held = Held()
    limits = HttpLimits(max_held_bytes=100_000)
    async with serving(guarded(held), limits) as (server, port), AsyncExitStack() as stack:
        first, second, third = [await stack.enter_async_context(client_of(port)) for _ in "123"]
        await first.send(request("POST", "/v1/messages", bytes(60_000), KEY))
        await until(lambda: len(held.seen) == 1)
        await second.send(request("POST", "/v1/messages", bytes(60_000), KEY))
        answer = parse_answers(await second.read_all(), "POST", eof=True)[0]
        assert answer.status == OVERLOADED
        assert len(held.seen) == 1
        held.go.set()
        assert b"60000" in await first.read_until(b"60000")
        await until(lambda: server.held_bytes == 0)
        await third.send(request("POST", "/v1/messages", bytes(60_000), KEY))
        assert b"60000" in await third.read_until(b"60000")


async def test_clients_that_leave_in_the_middle_give_their_bytes_back() -> None:
    limits = HttpLimits(max_held_bytes=1_000_000)
    async with serving(guarded(Held()), limits) as (server, port), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(port)) for _ in range(6)]
        wires = [
            head(100_000, KEY) + bytes(50_000),  # in its body
            b"GET /health HTTP/1.1\r\nX: " + b"x" * 30_000,  # in its head
            request("POST", "/v1/messages", bytes(90_000), KEY),  # being answered
            request("POST", "/v1/messages", b"x", KEY) + bytes(30_000),  # with more behind it
            head(100_000) + bytes(50_000),  # refused
            request("POST", "/nowhere", bytes(50_000)),  # dropped
        ]
        for client, wire in zip(clients, wires, strict=True):
            await client.send(wire)
        await until(lambda: server.held_bytes > 200_000)
        for client in clients:
            client.writer.transport.abort()
        await until(lambda: server.connections == 0)
        assert server.held_bytes == 0


async def test_what_a_handler_holds_counts_until_its_answer_is_out() -> None:
    go = asyncio.Event()

    async def grow(request: Request, exchange: Exchange) -> Response:
        exchange.hold(int(request.body))
        await go.wait()
        return Response(200)

    routes = [Route("POST", "/", grow)]
    limits = HttpLimits(max_held_bytes=1_000)
    async with serving(routes, limits) as (server, port), AsyncExitStack() as stack:
        first, second, third = [await stack.enter_async_context(client_of(port)) for _ in "123"]
        await first.send(request("POST", "/", b"600"))
        await until(lambda: server.held_bytes == 603)
        await second.send(request("POST", "/", b"398"))
        answer = parse_answers(await second.read_until(b"again"), "POST")[0]
        assert (answer.status, answer.body) == (
            OVERLOADED,
            b"/: the server holds as much of requests as it may at present; try again",
        )
        assert server.held_bytes == 603
        await third.send(request("POST", "/", b"300"))
        await until(lambda: server.held_bytes == 906)
        third.writer.transport.abort()
        await until(lambda: server.held_bytes == 603)
        go.set()
        await first.read_until(b"\r\n\r\n")
        assert server.held_bytes == 0


async def test_nothing_is_held_for_a_client_that_has_gone() -> None:
    gone = asyncio.Event()

    async def late(request: Request, exchange: Exchange) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            exchange.hold(500)
            gone.set()
        raise AssertionError

    async with serving([Route("POST", "/", late)]) as (server, port):
        async with client_of(port) as client:
            await client.send(request("POST", "/", b"12345"))
            await until(lambda: server.held_bytes == 5)
        await gone.wait()
        assert server.held_bytes == 0


async def test_unfinished_heads_count() -> None:
    async with bench(limits=HttpLimits(max_held_bytes=1_000)) as b:
        await b.feed(b"GET / HTTP/1.1\r\nX: " + b"x" * 700)
        assert b.transport.written == b""
        await b.feed(b"x" * 700)
        (answer,) = parse_answers(b.transport.written, "GET", eof=True)
        assert answer.status == OVERLOADED
        assert b.shared.guests.held_bytes == 0


async def test_requests_ahead_count_and_nothing_is_read_behind_a_gap() -> None:
    held = Held()
    async with bench([Route("GET", "/", held)], HttpLimits(max_held_bytes=100)) as b:
        await b.feed(request("GET", "/"), request("GET", "/") * 10, request("GET", "/"))
        assert not b.transport.reading
        held.go.set()
        await settle()
        parse_answers(b.transport.written, "GET", eof=True)
        assert len(held.seen) == 1
        assert b.shared.guests.held_bytes == 0


async def test_no_room_for_requests_ahead_of_a_client_that_does_not_read() -> None:
    async with bench(limits=HttpLimits(max_held_bytes=100)) as b:
        await b.feed(request())
        b.connection.pause_writing()
        await b.feed(request() * 10)
        assert b.transport.aborted


async def test_a_crowd_of_refusals_lets_others_have_their_turn() -> None:
    async with bench(guarded()) as b:
        b.connection.data_received(request("GET", "/nowhere") * 200 + request())
        assert 0 < b.transport.written.count(b"HTTP/1.1 404") < 50
        await settle(40)
        answers = parse_answers(b.transport.written, *["GET"] * 201)
        assert [answer.status for answer in answers] == [404] * 200 + [200]
        assert b.shared.guests.held_bytes == 0


# --- time ---


class Trickle:
    """Sends one byte at a time, always soon enough for the clock of single pieces."""

    def __init__(self, client: Client, pause_s: float) -> None:
        self._client = client
        self._pause_s = pause_s

    async def __call__(self) -> None:
        try:
            while True:
                await self._client.send(b"x")
                await asyncio.sleep(self._pause_s)
        except ConnectionError:
            pass


@pytest.mark.parametrize("part", ["head", "body", "chunks"])
async def test_trickled_request_ends_although_no_piece_is_late(part: str) -> None:
    limits = HttpLimits(head_timeout_s=0.3, body_timeout_s=0.3, body_rate_bytes_s=10_000)
    start = {
        "head": b"POST /v1/messages HTTP/1.1\r\nX: ",
        "body": head(1_000_000, KEY),
        "chunks": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n%b\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n" % KEY,
    }[part]
    async with serving(guarded(), limits) as (_, port), client_of(port) as client:
        await client.send(start)
        trickle = asyncio.ensure_future(Trickle(client, 0.01)())
        answer = parse_answers(await client.read_all(), "POST", eof=True)[0]
        assert answer.status == 408
        trickle.cancel()


async def test_body_at_its_pace_has_all_the_time_it_needs() -> None:
    limits = HttpLimits(body_timeout_s=0.8, body_rate_bytes_s=1_000)
    async with serving(guarded(), limits) as (_, port), client_of(port) as client:
        await client.send(head(40_000, KEY))
        for _ in range(40):  # twice the time without a piece, ten times the pace
            await client.send(bytes(1_000))
            await asyncio.sleep(0.04)
        assert b"200 OK" in await client.read_until(b"\r\n")


# --- how many ---


async def test_strangers_make_room_and_whoever_has_the_key_stays() -> None:
    async with (
        serving(guarded(), HttpLimits(max_connections=20)) as (server, port),
        AsyncExitStack() as stack,
    ):
        known = await stack.enter_async_context(client_of(port))
        await known.send(request("GET", "/v1/models", b"", KEY))
        await known.read_until(b"GET /v1/models  \n")
        crowd = [await stack.enter_async_context(client_of(port)) for _ in range(60)]
        await until(lambda: server.connections == 20)
        await known.send(request("GET", "/v1/models", b"", KEY))
        assert b"200 OK" in await known.read_until(b"GET /v1/models  \n")
        assert await crowd[0].read_all() == b""
        await crowd[-1].send(request())
        assert b"200 OK" in await crowd[-1].read_until(b"GET /health  \n")


async def test_no_answer_is_cut_for_somebody_new(caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    async with (
        serving(guarded(held), HttpLimits(max_connections=5)) as (_, port),
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(client_of(port)) for _ in range(5)]
        for client in clients:
            await client.send(request("POST", "/v1/messages", b"x", KEY))
        await until(lambda: len(held.seen) == 5)
        for _ in range(3):
            late = await stack.enter_async_context(client_of(port))
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await late.read_until(b"\r\n")
        held.go.set()
        for client in clients:
            assert b"200 OK" in await client.read_until(b"\r\n\r\n1")
    assert [r.getMessage() for r in caplog.records if "no room" in r.getMessage()] == [
        "no room for a connection: none of them is idle"
    ]


@pytest.mark.parametrize(
    "wire",
    [
        head(1_000, path=b"/nowhere"),
        head(1_000, path=b"/health") + bytes(10),
        b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
        b"OPTIONS /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
    ],
    ids=["unknown route", "wrong method", "chunks", "preflight"],
)
async def test_strangers_who_do_not_finish_what_nobody_reads_make_room(wire: bytes) -> None:
    async with (
        serving(guarded(), HttpLimits(max_connections=5)) as (server, port),
        AsyncExitStack() as stack,
    ):
        crowd = [await stack.enter_async_context(client_of(port)) for _ in range(5)]
        for client in crowd:
            await client.send(wire)
        await until(lambda: server.connections == 5)
        late = await stack.enter_async_context(client_of(port))
        await late.send(request("GET", "/v1/models", b"", KEY))
        assert b"200 OK" in await late.read_until(b"GET /v1/models  \n")
        assert server.connections == 5
        assert await crowd[0].read_all() == b""


async def test_strangers_who_ask_ahead_without_end_make_room() -> None:
    held = Held()
    routes = [*guarded(), Route("GET", "/held", held)]
    async with (
        serving(routes, HttpLimits(max_connections=3)) as (server, port),
        AsyncExitStack() as stack,
    ):
        crowd = [await stack.enter_async_context(client_of(port)) for _ in range(3)]
        for client in crowd:
            await client.send(request("GET", "/held") * 2)
        await until(lambda: len(held.seen) == 3)
        late = await stack.enter_async_context(client_of(port))
        await late.send(request("GET", "/v1/models", b"", KEY))
        assert b"200 OK" in await late.read_until(b"GET /v1/models  \n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await crowd[0].read_until(b"\n")
        await until(lambda: server.active == 2)
        held.go.set()
        assert b"200 OK" in await crowd[1].read_until(b"\r\n\r\n0")
        await until(lambda: server.held_bytes == 0)


@pytest.mark.parametrize("last", [b"", b"Connection: close"], ids=["stays", "goes"])
async def test_strangers_who_do_not_read_their_answer_make_room(last: bytes) -> None:
    async def much(request: Request, exchange: Exchange) -> Response:
        return Response(200, bytes(32_000_000))  # more than the system's buffers take

    routes = [*guarded(), Route("GET", "/much", much)]
    async with (
        serving(routes, HttpLimits(max_connections=3)) as (server, port),
        AsyncExitStack() as stack,
    ):
        crowd = [await stack.enter_async_context(client_of(port)) for _ in range(3)]
        for client in crowd:
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(request("GET", "/much", b"", *filter(None, [last])))
        await until(lambda: server.connections == 3 and server.active == 0)
        for _ in range(3):
            late = await stack.enter_async_context(client_of(port))
            await late.send(request("GET", "/v1/models", b"", KEY))
            assert b"200 OK" in await late.read_until(b"GET /v1/models  \n")
        await until(lambda: server.connections == 3)


async def test_a_thousand_idle_connections_of_this_machine_are_fine() -> None:
    async with serving(guarded()) as (server, port):
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(1_000)]
        await until(lambda: server.connections == 1_000)
        for one in sockets[::100]:
            one.sendall(request())
            one.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(one, 12) == b"HTTP/1.1 200"
        assert server.connections == 1_000
        for one in sockets:
            one.close()
