"""Event streams: one start, one write per batch, pings only in silence."""

import asyncio

from kiroproxy.http import Exchange, Request, Response, Route, SSEWriter
from tests.http.support import bench, client_of, parse_answers, request, serving, settle, until

HEADERS = [(b"content-type", b"text/event-stream")]
NEVER_S = 3600.0


def writer(exchange: Exchange, interval_s: float = NEVER_S) -> SSEWriter:
    return SSEWriter(
        exchange,
        HEADERS,
        ping=lambda: b"PING ",
        ping_interval_s=interval_s,
        on_start=lambda: b"START ",
    )


async def test_first_batch_leaves_with_head_and_opening_in_one_write() -> None:
    async def handler(request: Request, exchange: Exchange) -> None:
        sse = writer(exchange)
        assert not sse.started
        sse.write(b"a ")
        assert sse.started
        sse.begin()  # without effect
        sse.write(b"b ")
        sse.end(b"c")

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        (answer,) = parse_answers(b.transport.written, "GET")
        assert answer.body == b"START a b c"
        assert answer.headers["content-type"] == "text/event-stream"
        assert b.transport.writes[0].endswith(b"8\r\nSTART a \r\n")
        assert b.transport.writes[1:] == [b"2\r\nb \r\n", b"1\r\nc\r\n0\r\n\r\n"]


async def test_end_without_a_write_still_has_the_opening() -> None:
    async def handler(request: Request, exchange: Exchange) -> None:
        writer(exchange).end(b"c")

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        assert parse_answers(b.transport.written, "GET")[0].body == b"START c"


async def test_headers_are_read_when_the_head_is_written() -> None:
    async def handler(request: Request, exchange: Exchange) -> None:
        headers = list(HEADERS)
        sse = SSEWriter(
            exchange,
            headers,
            ping=lambda: b"",
            ping_interval_s=NEVER_S,
            on_start=lambda: b"",
        )
        headers.append((b"x-late", b"1"))
        sse.end()

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        assert parse_answers(b.transport.written, "GET")[0].headers["x-late"] == "1"


async def test_pings_come_before_the_first_event_and_data_follows() -> None:
    gate = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> None:
        sse = writer(exchange, 0.01)
        await gate.wait()
        sse.write(b"DATA ")
        sse.end(b"END")

    async with serving([Route("GET", "/", handler)]) as (_, port), client_of(port) as client:
        await client.send(request("GET", "/"))
        opening = await client.read_until(b"START PING ")
        opening += await client.read_until(b"PING ")
        gate.set()
        rest = opening + await client.read_until(b"\r\n0\r\n\r\n")
        (answer,) = parse_answers(rest, "GET")
        assert answer.body.startswith(b"START PING PING ")
        assert answer.body.endswith(b"DATA END")


async def test_no_ping_while_something_is_written() -> None:
    interval_s = 0.05
    silences = []

    async def handler(request: Request, exchange: Exchange) -> None:
        sse = writer(exchange, interval_s)
        clock = asyncio.get_running_loop().time
        last_s = clock()
        for _ in range(25):
            await asyncio.sleep(0.01)
            sse.write(b".")
            now_s = clock()
            if now_s - last_s >= interval_s:  # a busy machine
                silences.append(now_s - last_s)
            last_s = now_s
        sse.end()

    async with serving([Route("GET", "/", handler)]) as (_, port), client_of(port) as client:
        await client.send(request("GET", "/"))
        (answer,) = parse_answers(await client.read_until(b"\r\n0\r\n\r\n"), "GET")
        pings_allowed = sum(int(silence / interval_s) for silence in silences)
        assert answer.body.count(b"PING") <= pings_allowed


async def test_no_ping_to_a_client_that_does_not_read() -> None:
    gate = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> None:
        sse = writer(exchange, 0.005)
        sse.begin()
        await gate.wait()
        sse.end()

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        b.connection.pause_writing()
        writes = len(b.transport.writes)
        await asyncio.sleep(0.03)
        assert len(b.transport.writes) == writes
        b.connection.resume_writing()
        await until(lambda: len(b.transport.writes) > writes)
        gate.set()
        await settle()


async def test_close_stops_the_pings_and_leaves_the_status_open() -> None:
    async def handler(request: Request, exchange: Exchange) -> Response:
        sse = writer(exchange, 0.005)
        sse.close()
        sse.close()
        await asyncio.sleep(0.02)
        return Response(503, b"no")

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        await until(lambda: b.transport.writes != [])
        assert parse_answers(b.transport.written, "GET")[0].status == 503


async def test_pings_end_with_the_exchange_even_if_nobody_closes_the_writer() -> None:
    async def handler(request: Request, exchange: Exchange) -> Response:
        writer(exchange, 0.005)
        return Response(503, b"no")

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        await asyncio.sleep(0.02)
        assert len(parse_answers(b.transport.written, "GET")) == 1


async def test_abort_cuts_the_stream() -> None:
    async def handler(request: Request, exchange: Exchange) -> None:
        sse = writer(exchange, 0.005)
        sse.write(b"a ")
        sse.abort()
        await asyncio.sleep(0.02)

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        assert b.transport.closed
        assert b.transport.written.endswith(b"START a \r\n")
        await until(lambda: b.shared.tasks == set())
