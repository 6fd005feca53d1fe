"""The server on real sockets, against raw clients and the standard library's."""

import asyncio
import gc
import http.client
import os
import socket

import anyio
import pytest

from kiroproxy.http import Exchange, HttpLimits, HttpServer, Request, Response, Route, Router
from tests.http.support import (
    ROUTES,
    client_of,
    parse_answers,
    render,
    request,
    serving,
    settle,
    until,
)


def open_sockets() -> int:
    return sum(
        os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    )


class Endless:
    """Streams until the client goes away, heeding backpressure."""

    def __init__(self, piece: bytes = b"x" * 16_384) -> None:
        self.piece = piece
        self.cancelled = asyncio.Event()
        self.pauses = 0
        self.resumes = 0
        self.written = 0
        self._go = asyncio.Event()

    async def __call__(self, request: Request, exchange: Exchange) -> None:
        self._go.set()
        exchange.set_flow_callbacks(self._pause, self._resume)
        exchange.start(200, [])
        try:
            while True:
                await self._go.wait()
                exchange.write(self.piece)
                self.written += len(self.piece)
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def _pause(self) -> None:
        self.pauses += 1
        self._go.clear()

    def _resume(self) -> None:
        self.resumes += 1
        self._go.set()


async def test_pipelined_requests_are_answered_in_order() -> None:
    wire = request("POST", "/v1/messages", b"1") + request() + request("HEAD", "/v1/models")
    async with serving() as (_, port), client_of(port) as client:
        await client.send(wire + request("GET", "/", b"", b"Connection: close"))
        answers = parse_answers(await client.read_all(), "POST", "GET", "HEAD", "GET", eof=True)
        assert [a.status for a in answers] == [200] * 4
        assert answers[0].body.endswith(b"1")


async def test_standard_client_keeps_its_connection() -> None:
    def talk(port: int) -> tuple[list[tuple[int, bytes]], int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        answers = []
        ports = set()
        for number in range(3):
            connection.request("POST", "/v1/messages", body=b"%d" % number)
            ports.add(connection.sock.getsockname())
            response = connection.getresponse()
            answers.append((response.status, response.read()))
        connection.request("POST", "/v1/messages", body=iter([b"a", b"b"]), encode_chunked=True)
        response = connection.getresponse()
        answers.append((response.status, response.read()))
        connection.close()
        return answers, len(ports)

    async with serving() as (_, port):
        answers, connections = await anyio.to_thread.run_sync(talk, port)
    bodies = [body.partition(b"\n")[2] for _, body in answers]
    assert bodies == [b"0", b"1", b"2", b"ab"]
    assert connections == 1


async def test_large_body_arrives_whole_sized_and_chunked() -> None:
    body = os.urandom(3_000_000)
    chunked = b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    )
    head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving() as (_, port), client_of(port) as client:
        for wire in (request("POST", "/v1/messages", body), head + chunked + b"0\r\n\r\n"):
            sending = asyncio.ensure_future(client.send(wire))
            answer_head = await client.read_until(b"\r\n\r\n")
            assert answer_head.startswith(b"HTTP/1.1 200")
            await client.read_until(b"\n")
            assert await client.reader.readexactly(len(body)) == body
            await sending


async def test_ten_at_once() -> None:
    gate = asyncio.Event()
    waiting = []

    async def handler(request: Request, exchange: Exchange) -> Response:
        waiting.append(request.query)
        if len(waiting) == 10:
            gate.set()
        await gate.wait()
        return Response(200, request.query.encode())

    async def one(port: int, number: int) -> bytes:
        async with client_of(port) as client:
            await client.send(request("GET", f"/?{number}", b"", b"Connection: close"))
            return parse_answers(await client.read_all(), "GET", eof=True)[0].body

    async with serving([Route("GET", "/", handler)]) as (_, port):
        bodies = await asyncio.gather(*(one(port, number) for number in range(10)))
    assert bodies == [b"%d" % number for number in range(10)]


async def test_body_over_the_limit_is_answered_although_the_client_goes_on_sending() -> None:
    limits = HttpLimits(max_body_bytes=1_000)
    async with serving(limits=limits) as (_, port), client_of(port) as client:
        await client.send(
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
        )
        sending = asyncio.ensure_future(client.send(bytes(4_000_000)))
        answer = parse_answers(await client.read_all(), "POST", eof=True)[0]
        assert answer.status == 413
        await sending


async def test_slow_client_is_served_byte_by_byte() -> None:
    async with serving() as (_, port), client_of(port) as client:
        for byte in request("POST", "/v1/messages", b"slow", b"Connection: close"):
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        answer = parse_answers(await client.read_all(), "POST", eof=True)[0]
        assert answer.body.endswith(b"slow")


async def test_half_a_head_then_silence_is_408() -> None:
    async with (
        serving(limits=HttpLimits(head_timeout_s=0.05)) as (_, port),
        client_of(port) as client,
    ):
        await client.send(request()[:-4])
        assert parse_answers(await client.read_all(), "GET", eof=True)[0].status == 408


async def test_half_a_head_then_the_end_leaves_nothing() -> None:
    async with serving() as (server, port), client_of(port) as client:
        await client.send(request()[:-4])
        await until(lambda: server.connections == 1)
        client.writer.close()
        await until(lambda: server.connections == 0)


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
async def test_disconnect_in_a_stream_cancels_its_handler(how: str) -> None:
    endless = Endless(b"x")
    async with serving([Route("GET", "/", endless)]) as (server, port), client_of(port) as client:
        await client.send(request("GET", "/"))
        await client.read_until(b"\r\n\r\n")
        if how == "close":
            client.writer.close()
        elif how == "reset":
            client.writer.transport.abort()
        else:
            client.writer.write_eof()
        await endless.cancelled.wait()
        await until(lambda: server.connections == 0 and server.active == 0)


async def test_slow_reader_pauses_the_handler_and_loses_nothing() -> None:
    endless = Endless()
    async with serving([Route("GET", "/", endless)]) as (_, port), client_of(port) as client:
        await client.send(request("GET", "/"))
        await client.read_until(b"\r\n\r\n")
        await until(lambda: endless.pauses == 1)
        paused_at = endless.written
        await asyncio.sleep(0.02)
        assert endless.written == paused_at
        chunk = b"%x\r\n%b\r\n" % (len(endless.piece), endless.piece)
        for _ in range(paused_at // len(endless.piece)):
            assert await client.reader.readexactly(len(chunk)) == chunk
        await until(lambda: endless.resumes >= 1)


async def test_client_that_stops_reading_is_cut_off() -> None:
    endless = Endless()
    limits = HttpLimits(write_stall_s=0.05)
    async with serving([Route("GET", "/", endless)], limits) as (server, port):
        async with client_of(port) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(request("GET", "/"))
            await endless.cancelled.wait()
            await until(lambda: server.connections == 0)


async def test_cut_answer_is_not_whole_for_a_standard_client() -> None:
    async def handler(request: Request, exchange: Exchange) -> None:
        exchange.start(200, [], b"half")
        exchange.abort()

    def read(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        try:
            connection.getresponse().read()
        finally:
            connection.close()

    async with serving([Route("GET", "/", handler)]) as (_, port):
        with pytest.raises(http.client.IncompleteRead):
            await anyio.to_thread.run_sync(read, port)
        async with client_of(port) as client:
            await client.send(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                await client.read_all()


async def test_shutdown_lets_requests_finish_and_refuses_new_connections() -> None:
    gate = asyncio.Event()
    inside = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> Response:
        inside.set()
        await gate.wait()
        return Response(200, b"done")

    async with serving([Route("GET", "/", handler)]) as (server, port):
        async with client_of(port) as busy, client_of(port) as idle:
            await busy.send(request("GET", "/"))
            await inside.wait()
            await until(lambda: server.connections == 2)
            stopping = asyncio.ensure_future(server.shutdown(30))
            assert await idle.read_all() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            assert not stopping.done()
            gate.set()
            (answer,) = parse_answers(await busy.read_all(), "GET", eof=True)
            assert (answer.body, answer.headers["connection"]) == (b"done", "close")
            await stopping


async def test_shutdown_cancels_what_does_not_finish() -> None:
    endless = Endless(b"x")
    async with serving([Route("GET", "/", endless)]) as (server, port):
        async with client_of(port) as client:
            await client.send(request("GET", "/"))
            await client.read_until(b"\r\n\r\n")
            await server.shutdown(0.05)
            assert endless.cancelled.is_set()
            assert (server.connections, server.active) == (0, 0)


@pytest.mark.parametrize("before", [True, False], ids=["before", "during"])
async def test_hurry_ends_the_grace_time(before: bool) -> None:
    endless = Endless(b"x")
    async with serving([Route("GET", "/", endless)]) as (server, port):
        async with client_of(port) as client:
            await client.send(request("GET", "/"))
            await client.read_until(b"\r\n\r\n")
            if before:
                server.hurry()
            stopping = asyncio.ensure_future(server.shutdown(3600))  # the test's time is shorter
            await asyncio.sleep(0)
            server.hurry()
            await stopping
            assert endless.cancelled.is_set()
            assert (server.connections, server.active) == (0, 0)


async def test_shutdown_waits_for_handlers_that_clean_up() -> None:
    cleaned = []

    async def handler(request: Request, exchange: Exchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)
            cleaned.append(True)

    async with serving([Route("GET", "/", handler)]) as (server, port):
        async with client_of(port) as client:
            await client.send(request("GET", "/"))
            await until(lambda: server.active == 1)
            await server.shutdown(0)
            assert cleaned == [True]


async def test_shutdown_before_start_and_twice_does_nothing() -> None:
    server = HttpServer(Router(ROUTES), error_renderer=render)
    await server.shutdown(0)
    await server.start("127.0.0.1", 0)
    await server.shutdown(0)
    await server.shutdown(0)
    assert (server.connections, server.active) == (0, 0)


async def test_taken_port_is_an_os_error() -> None:
    async with serving() as (_, port):
        with pytest.raises(OSError, match="in use"):
            await HttpServer(Router(ROUTES), error_renderer=render).start("127.0.0.1", port)


async def test_nothing_is_left_open_in_debug_mode() -> None:
    """Clients of every bad sort, then the sockets are counted."""
    asyncio.get_running_loop().set_debug(True)
    gc.collect()
    before = open_sockets()
    tasks = asyncio.all_tasks()
    endless = Endless(b"x")
    async with serving([*ROUTES, Route("GET", "/endless", endless)]) as (server, port):
        for wire in (
            b"",
            b"GET",
            request(),
            request("GET", "/endless"),
            b"nonsense\r\n\r\n",
            request("POST", "/v1/messages", b"hello")[:-2],
            b"GET / HTTP/1.0\r\n\r\n",
        ):
            async with client_of(port) as client:
                await client.send(wire)
                await settle()
        await until(lambda: server.connections == 0)
    await settle()
    gc.collect()
    assert open_sockets() == before
    assert asyncio.all_tasks() == tasks


async def test_ipv6_peer_is_named_with_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    peers = []

    async def handler(request: Request, exchange: Exchange) -> Response:
        peers.append(request.peer)
        return Response(200)

    server = HttpServer(Router([Route("GET", "/", handler)]), error_renderer=render)
    try:
        ((host, port),) = await server.start("::1", 0)
    except OSError:
        pytest.skip("no ::1 on this machine")
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request("GET", "/", b"", b"Connection: close"))
    await reader.read()
    writer.close()
    await server.shutdown(1)
    assert peers[0].startswith("[::1]:")
