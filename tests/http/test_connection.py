"""One connection without a socket: bytes in every chunking, and every way it can end."""

import asyncio
import logging
from dataclasses import replace

import pytest

from kiroproxy.errors import Kind, RequestError
from kiroproxy.http import Exchange, HttpLimits, Request, Response, Route
from kiroproxy.http.states import State
from tests.chunking import every_cut
from tests.http.support import bench, echo, parse_answers, request, settle, until
from tests.http.test_body import CHUNKED, CHUNKED_BODY
from tests.http.test_clocks import ManualLoop

POST_CHUNKED = (
    b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED
)


async def test_pipeline_of_every_kind_in_every_chunking() -> None:
    wire = (
        request("POST", "/v1/messages?beta=true", b"hello")
        + request("HEAD", "/health")
        + POST_CHUNKED
        + request("GET", "/nowhere")
        + b"\r\n"  # a line end too many, as some clients send
        + request("GET", "/v1/models/a%2Fb")
    )
    for pieces in every_cut(wire):
        async with bench() as b:
            await b.feed(*pieces)
            await settle(20)
            answers = parse_answers(b.transport.written, "POST", "HEAD", "POST", "GET", "GET")
            assert [answer.status for answer in answers] == [200, 200, 200, 404, 200]
            bodies = [answer.body for answer in answers]
            assert bodies[0] == b"POST /v1/messages beta=true \nhello"
            assert answers[1].headers["content-length"] == str(len(b"HEAD /health  \n"))
            assert bodies[2] == b"POST /v1/messages  \n" + CHUNKED_BODY
            assert bodies[4] == b"GET /v1/models/a%2Fb  a/b\n"
            assert b.connection.state is State.IDLE


async def test_one_answer_is_one_write() -> None:
    async with bench() as b:
        await b.feed(request())
        assert len(b.transport.writes) == 1


async def test_every_answer_carries_the_request_id_and_a_date() -> None:
    seen = []

    async def handler(request: Request, exchange: Exchange) -> Response:
        seen.append(request)
        return Response(200, b"", [(b"request-id", b"not mine")])

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        (answer,) = parse_answers(b.transport.written, "GET")
        assert answer.headers["request-id"] == answer.headers["x-request-id"] == seen[0].id
        assert seen[0].id.startswith("req_")
        assert len(seen[0].id) == len("req_") + 24
        assert seen[0].peer == "192.0.2.7:4711"
        assert answer.headers["date"] == "Thu, 01 Jan 1970 00:00:00 GMT"


async def test_cors_on_api_routes_only() -> None:
    async with bench() as b:
        await b.feed(
            request("GET", "/v1/models"), request("GET", "/health"), request("PUT", "/v1/models")
        )
        models, health, refused = parse_answers(b.transport.written, "GET", "GET", "PUT")
        assert models.headers["access-control-allow-origin"] == "*"
        assert "retry-after" in models.headers["access-control-expose-headers"]
        assert "access-control-allow-origin" not in health.headers
        assert refused.headers["access-control-allow-origin"] == "*"
        assert refused.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_websocket_gets_426() -> None:
    async with bench() as b:
        await b.feed(
            request("GET", "/v1/responses", b"", b"Connection: Upgrade", b"Upgrade: websocket")
        )
        (answer,) = parse_answers(b.transport.written, "GET")
        assert answer.status == 426
        assert answer.headers["upgrade"] == "HTTP/1.1"


async def test_next_request_waits_for_the_present_one() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    started: list[str] = []

    async def handler(request: Request, exchange: Exchange) -> Response:
        number = int(request.query)
        started.append(request.query)
        await gates[number].wait()
        return Response(200, request.query.encode())

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/?0") + request("GET", "/?1"))
        gates[1].set()
        await settle()
        assert started == ["0"]
        gates[0].set()
        await settle()
        assert [a.body for a in parse_answers(b.transport.written, "GET", "GET")] == [b"0", b"1"]


async def test_handler_that_goes_on_after_its_answer_still_holds_the_line() -> None:
    gate = asyncio.Event()
    running = []

    async def handler(request: Request, exchange: Exchange) -> None:
        running.append(request.query)
        exchange.start(200, [])
        exchange.end(b"x")
        await gate.wait()
        running.remove(request.query)

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/?0") + request("GET", "/?1"))
        assert running == ["0"]
        gate.set()
        await settle()
        assert running == []
        assert len(parse_answers(b.transport.written, "GET", "GET")) == 2


async def test_client_that_leaves_after_its_answer_does_not_cancel_the_rest() -> None:
    gate = asyncio.Event()
    done = []

    async def handler(request: Request, exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.end(b"x")
        await gate.wait()
        done.append(True)

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        b.connection.eof_received()
        await settle()
        gate.set()
        await settle()
        assert done == [True]


async def test_reading_stops_when_enough_waits_and_goes_on_after() -> None:
    gate = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> Response:
        await gate.wait()
        return Response(200, request.body)

    limits = HttpLimits(max_ahead_bytes=200)
    async with bench([Route("POST", "/", handler)], limits) as b:
        await b.feed(request("POST", "/", b"a"))
        await b.feed(request("POST", "/", b"b"))
        assert b.transport.reading
        await b.feed(request("POST", "/", b"c" * 200))
        assert not b.transport.reading
        gate.set()
        await settle(20)
        assert b.transport.reading
        answers = parse_answers(b.transport.written, "POST", "POST", "POST")
        assert [a.body for a in answers] == [b"a", b"b", b"c" * 200]


async def test_no_further_answer_for_a_client_that_does_not_read() -> None:
    async with bench() as b:
        b.connection.pause_writing()
        await b.feed(request())
        assert b.transport.writes == []
        b.connection.resume_writing()
        await settle()
        assert len(parse_answers(b.transport.written, "GET")) == 1


@pytest.mark.parametrize("end", ["eof", "lost"])
@pytest.mark.parametrize("started", [True, False])
async def test_client_gone_cancels_the_handler_at_once(end: str, started: bool) -> None:
    log: list[str] = []

    async def handler(request: Request, exchange: Exchange) -> None:
        log.append("in")
        if started:
            exchange.start(200, [], b"x")
        try:
            await asyncio.Event().wait()
        finally:
            exchange.write(b"nobody")  # without effect, without error
            exchange.end()
            log.append("out")

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        if end == "eof":
            b.connection.eof_received()
            assert b.transport.aborted
        else:
            b.transport.close()
        await settle()
        assert log == ["in", "out"]
        assert b"nobody" not in b.transport.written
        assert b.shared.tasks == set()


async def test_client_gone_before_the_handler_ran_leaves_nothing() -> None:
    called = []

    async def handler(request: Request, exchange: Exchange) -> Response:
        called.append(True)
        return Response(200)

    async with bench([Route("GET", "/", handler)]) as b:
        b.connection.data_received(request("GET", "/"))
        b.connection.eof_received()
        await settle()
        assert (called, b.shared.tasks, b.shared.connections) == ([], set(), set())


async def test_expect_continue_is_granted_once_and_only_if_needed() -> None:
    head = request("POST", "/v1/messages", b"hello", b"Expect: 100-continue")[:-5]
    async with bench() as b:
        await b.feed(head)
        assert b.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        await b.feed(b"hello")
        (answer,) = parse_answers(b.transport.written, "POST")
        assert answer.informational == [100]
    async with bench() as b:
        await b.feed(head + b"h", b"ello")  # it did not wait
        (answer,) = parse_answers(b.transport.written, "POST")
        assert answer.informational == []


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [("/nowhere", 5, 404), ("/health", 5, 405), ("/v1/messages", 2_000, 413)],
)
async def test_expect_continue_is_refused_with_the_final_answer(
    path: str, length: int, status: int
) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    async with bench(limits=HttpLimits(max_body_bytes=1_000)) as b:
        await b.feed(head.encode())
        (answer,) = parse_answers(b.transport.written, "POST", eof=True)
        assert (answer.status, answer.headers["connection"]) == (status, "close")


async def test_body_for_an_unknown_route_is_read_and_the_connection_kept() -> None:
    async with bench() as b:
        await b.feed(request("POST", "/nowhere", b"hello"), request())
        answers = parse_answers(b.transport.written, "POST", "GET")
        assert [a.status for a in answers] == [404, 200]


REFUSED_AT_ONCE = {
    "too large": (b"Content-Length: 1001", 413),
    "compressed": (b"Content-Length: 7\r\nContent-Encoding: gzip", 400),
    "too large in chunks": (b"Transfer-Encoding: chunked\r\n\r\n3e9", 413),
    "bad chunk": (b"Transfer-Encoding: chunked\r\n\r\nnonsense", 400),
}


@pytest.mark.parametrize("name", REFUSED_AT_ONCE)
async def test_refusal_is_answered_at_once_then_the_line_is_half_closed(name: str) -> None:
    line, status = REFUSED_AT_ONCE[name]
    async with bench(limits=HttpLimits(max_body_bytes=1_000)) as b:
        await b.feed(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n")
        (answer,) = parse_answers(b.transport.written, "POST", eof=True)
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.body.startswith(b"/v1/messages: ")
        assert b.transport.eof_written
        assert b.connection.state is State.LINGER
        await b.feed(b"more", request())  # dropped
        assert b.transport.writes == b.transport.writes[:1]
        assert not b.transport.closed


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"nonsense\r\n\r\n", 400), (b"GET /" + b"a" * 2_000, 431), (b"\x16\x03\x01", 400)],
)
async def test_malformed_head_is_refused(data: bytes, status: int) -> None:
    async with bench(limits=HttpLimits(max_head_bytes=1_000)) as b:
        await b.feed(request() + data)
        first, answer = parse_answers(b.transport.written, "GET", "GET", eof=True)
        assert (first.status, answer.status) == (200, status)
        assert answer.body.startswith(b"-: ")
        assert b.connection.state is State.LINGER


async def test_connection_close_and_http_10_end_the_connection() -> None:
    for wire in (request("GET", "/", b"", b"Connection: close"), b"GET / HTTP/1.0\r\n\r\n"):
        async with bench() as b:
            await b.feed(wire)
            (answer,) = parse_answers(b.transport.written, "GET", eof=True)
            assert answer.headers["connection"] == "close"
            assert b.transport.closed
            assert not b.transport.aborted


async def test_requests_behind_the_last_one_are_dropped_with_a_lingering_close() -> None:
    async with bench() as b:
        await b.feed(request("GET", "/", b"", b"Connection: close") + request())
        assert len(parse_answers(b.transport.written, "GET", eof=True)) == 1
        assert b.transport.eof_written


async def stream_of_three(request: Request, exchange: Exchange) -> None:
    exchange.start(200, [(b"content-type", b"text/plain"), (b"content-length", b"9")], b"one")
    exchange.write(b"two")
    exchange.write(b"")  # nothing, and not the last chunk
    exchange.end(b"three")


async def test_stream_in_chunks_keeps_the_connection() -> None:
    async with bench([Route("GET", "/", stream_of_three)]) as b:
        await b.feed(request("GET", "/") + request("HEAD", "/") + request("GET", "/"))
        answers = parse_answers(b.transport.written, "GET", "HEAD", "GET")
        assert [a.body for a in answers] == [b"onetwothree", b"", b"onetwothree"]
        assert answers[0].headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answers[0].headers


async def test_stream_to_http_10_ends_with_the_connection() -> None:
    async with bench([Route("GET", "/", stream_of_three)]) as b:
        await b.feed(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = b.transport.written.partition(b"\r\n\r\n")
        assert body == b"onetwothree"
        assert b"chunked" not in head
        assert b"connection: close" in head
        assert b.transport.closed


async def test_large_body_is_whole() -> None:
    body = bytes(range(256)) * 1024

    async def handler(request: Request, exchange: Exchange) -> Response:
        return Response(200, body)

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        assert parse_answers(b.transport.written, "GET")[0].body == body


async def test_no_body_with_204() -> None:
    async def handler(request: Request, exchange: Exchange) -> Response:
        return Response(204, b"not sent")

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/") + request("GET", "/"))
        answers = parse_answers(b.transport.written, "GET", "GET")
        assert [a.body for a in answers] == [b"", b""]
        assert "content-length" not in answers[0].headers


async def test_abort_cuts_the_message() -> None:
    async def handler(request: Request, exchange: Exchange) -> None:
        exchange.start(200, [], b"half")
        exchange.abort()
        exchange.abort()
        exchange.write(b"nothing")

    for wire, aborted in ((request("GET", "/"), False), (b"GET / HTTP/1.0\r\n\r\n", True)):
        async with bench([Route("GET", "/", handler)]) as b:
            await b.feed(wire)
            assert b.transport.closed
            assert b.transport.aborted is aborted  # without chunks only a reset tells
            assert b"\r\n0\r\n\r\n" not in b.transport.written
            assert b"nothing" not in b.transport.written


async def fail_politely(request: Request, exchange: Exchange) -> Response:
    raise RequestError("slow down", kind=Kind.RATE_LIMITED)


async def fail_late(request: Request, exchange: Exchange) -> None:
    exchange.start(200, [], b"half")
    raise RequestError("too late")


async def break_down(request: Request, exchange: Exchange) -> Response:
    raise ZeroDivisionError("with a secret")


async def break_down_late(request: Request, exchange: Exchange) -> None:
    exchange.start(200, [], b"half")
    raise ZeroDivisionError("with a secret")


async def forget(request: Request, exchange: Exchange) -> None:
    """Neither an answer nor a stream."""


async def forget_the_end(request: Request, exchange: Exchange) -> None:
    exchange.start(200, [], b"half")


async def split_the_answer(request: Request, exchange: Exchange) -> Response:
    return Response(200, b"", [(b"x", b"a\r\nb: c")])


async def cancel_itself(request: Request, exchange: Exchange) -> Response:
    raise asyncio.CancelledError


async def test_error_is_rendered_and_the_connection_kept() -> None:
    async with bench([Route("GET", "/", fail_politely)]) as b:
        await b.feed(request("GET", "/") + request("GET", "/"))
        answers = parse_answers(b.transport.written, "GET", "GET")
        assert [a.status for a in answers] == [429, 429]
        assert answers[0].body == b"/: slow down"


@pytest.mark.parametrize("handler", [break_down, forget, split_the_answer])
async def test_defect_is_logged_once_and_answered_without_details(
    handler: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench([Route("GET", "/", handler)]) as b:  # type: ignore[arg-type]
        await b.feed(request("GET", "/?key=secret"))
        (answer,) = parse_answers(b.transport.written, "GET")
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert b.connection.state is State.IDLE
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("kiroproxy.http", logging.ERROR)
    assert record.exc_info is not None
    assert record.__dict__["fields"]["path"] == "/"


@pytest.mark.parametrize("handler", [break_down_late, forget_the_end, fail_late])
async def test_failure_after_the_start_cuts_the_answer(
    handler: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench([Route("GET", "/", handler)]) as b:  # type: ignore[arg-type]
        await b.feed(request("GET", "/"))
        assert b.transport.closed
        assert b"\r\n0\r\n\r\n" not in b.transport.written
    assert len(caplog.records) == 1


async def test_handler_that_cancels_itself_costs_the_connection() -> None:
    async with bench([Route("GET", "/", cancel_itself)]) as b:
        await b.feed(request("GET", "/"))
        assert b.transport.closed
        assert b.transport.written == b""


async def test_error_renderer_that_fails_costs_the_body_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench() as b:
        b.shared.answerer._render = lambda request, error: 1 / 0  # type: ignore[assignment,return-value]
        await b.feed(request("GET", "/nowhere"))
        (answer,) = parse_answers(b.transport.written, "GET")
        assert (answer.status, answer.body) == (500, b"")
    assert [record.message for record in caplog.records] == ["an error could not be rendered"]


@pytest.mark.parametrize("wrong", ["write", "end", "start twice", "send twice"])
async def test_wrong_order_of_calls_is_a_defect(
    wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request, exchange: Exchange) -> Response | None:
        if wrong == "write":
            exchange.write(b"x")
        elif wrong == "end":
            exchange.end(b"x")
        else:
            exchange.start(200, [])
            if wrong == "start twice":
                exchange.start(200, [])
        return Response(200)

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
    assert len(caplog.records) == 1
    assert "on an exchange that is" in caplog.text


async def test_flow_callbacks_follow_the_client() -> None:
    calls: list[str] = []
    gate = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> None:
        exchange.start(200, [], b"x")
        exchange.set_flow_callbacks(lambda: calls.append("pause"), lambda: calls.append("resume"))
        await gate.wait()
        assert not exchange.write_paused
        exchange.end()

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        b.connection.pause_writing()
        b.connection.resume_writing()
        assert calls == ["pause", "resume"]
        gate.set()
        await settle()
        b.connection.pause_writing()
        b.connection.resume_writing()
        assert calls == ["pause", "resume"]  # the exchange is over


async def test_flow_callbacks_set_while_paused_pause_at_once() -> None:
    calls: list[str] = []
    gate = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> None:
        await gate.wait()
        exchange.set_flow_callbacks(lambda: calls.append("pause"), lambda: calls.append("resume"))
        assert exchange.write_paused
        exchange.start(200, [])
        exchange.end()

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        b.connection.pause_writing()
        gate.set()
        await settle()
        assert calls == ["pause"]


FAST = HttpLimits(
    head_timeout_s=0.02, body_timeout_s=0.02, idle_timeout_s=0.02, write_stall_s=0.02, linger_s=0.02
)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"GET / HT", b"-"),
        (b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel", b"/v1/messages"),
    ],
)
async def test_slow_request_gets_408_then_the_end(data: bytes, path: bytes) -> None:
    async with bench(limits=FAST) as b:
        await b.feed(data)
        await until(lambda: b.transport.closed)
        (answer,) = parse_answers(b.transport.written, "POST", eof=True)
        assert answer.status == 408
        assert answer.body.startswith(path + b": ")
        assert b.transport.eof_written


async def test_lingering_lasts_while_something_comes() -> None:
    limits = HttpLimits(max_body_bytes=10, linger_s=0.1)
    clock = asyncio.get_running_loop().time
    async with bench(limits=limits) as b:
        await b.feed(request("POST", "/v1/messages", b"x" * 11))
        started_s = last_s = clock()
        longest_s = 0.0
        while clock() - started_s < 3 * limits.linger_s:
            await b.feed(b"more")
            longest_s = max(longest_s, clock() - last_s)
            last_s = clock()
            await asyncio.sleep(0.002)
        # on a machine so busy that the test itself fell silent the end would be right
        assert not b.transport.closed or longest_s > limits.linger_s / 2
        await until(lambda: b.transport.aborted)


async def test_lingering_does_not_last_for_ever() -> None:
    limits = HttpLimits(max_body_bytes=10, linger_s=0.05, linger_total_s=0.0)
    async with bench(limits=limits) as b:
        await b.feed(request("POST", "/v1/messages", b"x" * 11))
        while not b.transport.aborted:  # the test's own timeout is the alternative
            await b.feed(b"more")
            await asyncio.sleep(0.002)


async def test_connection_from_the_backlog_of_a_stopped_server_is_closed() -> None:
    async with bench() as b:
        b.shared.draining = True
        b.connection.connection_made(b.transport)
        assert b.transport.closed


async def test_idle_connection_is_closed_without_a_word() -> None:
    async with bench(limits=FAST) as b:
        await b.feed(request())
        writes = len(b.transport.writes)
        await until(lambda: b.transport.closed)
        assert len(b.transport.writes) == writes


async def test_request_at_work_has_no_clock() -> None:
    gate = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> Response:
        await gate.wait()
        return Response(200)

    async with bench([Route("GET", "/", handler)], FAST) as b:
        await b.feed(request("GET", "/"))
        await asyncio.sleep(0.06)
        assert not b.transport.closed
        gate.set()
        await settle()
        assert parse_answers(b.transport.written, "GET")[0].status == 200


async def test_client_that_takes_nothing_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    cancelled = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> None:
        exchange.start(200, [], b"x" * 100)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with bench([Route("GET", "/", handler)], FAST) as b:
        await b.feed(request("GET", "/"))
        b.transport.unsent_bytes = 100
        b.connection.pause_writing()
        await cancelled.wait()
        assert b.transport.aborted
    assert "does not read" in caplog.text


async def test_slow_client_that_takes_something_is_kept() -> None:
    gate = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> None:
        exchange.start(200, [], b"x" * 100)
        await gate.wait()
        exchange.end()

    limits = replace(FAST, read_rate_bytes_s=1)
    async with bench([Route("GET", "/", handler)], limits) as b:
        await b.feed(request("GET", "/"))
        b.transport.unsent_bytes = 100
        b.connection.pause_writing()
        for _ in range(8):
            await asyncio.sleep(0.01)
            b.transport.unsent_bytes -= 1
        assert not b.transport.closed
        b.connection.resume_writing()
        gate.set()


@pytest.mark.parametrize(("taken_bytes", "is_cut"), [(48 * 1024, True), (300 * 1024, False)])
async def test_client_that_is_behind_again_and_again_is_cut_off(
    taken_bytes: int, is_cut: bool
) -> None:
    """From the high mark to the low one in nearly four minutes, each time."""
    loop = ManualLoop()
    limits = replace(HttpLimits(), idle_timeout_s=1e6)
    async with bench(limits=limits, loop=loop) as b:
        for _ in range(4):
            b.connection.sent_bytes += taken_bytes
            b.transport.unsent_bytes = taken_bytes
            b.connection.pause_writing()
            loop.advance(100)
            b.transport.unsent_bytes -= 1
            loop.advance(139)
            if not b.transport.closed:
                b.transport.unsent_bytes = 0
                b.connection.resume_writing()
                loop.advance(10)
        assert b.transport.aborted is is_cut


async def test_client_that_takes_a_few_bytes_now_and_then_is_cut_off() -> None:
    cancelled = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> None:
        exchange.start(200, [], bytes(1_000_000))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    limits = HttpLimits(write_stall_s=0.02, read_rate_bytes_s=1_000_000)
    async with bench([Route("GET", "/", handler)], limits) as b:
        await b.feed(request("GET", "/"))
        b.transport.unsent_bytes = 1_000_000
        b.connection.pause_writing()
        while not b.transport.aborted:  # the test's own timeout is the alternative
            b.transport.unsent_bytes -= 1
            await asyncio.sleep(0.002)
        await cancelled.wait()


async def test_drain_closes_idle_connections_and_marks_the_others() -> None:
    gate = asyncio.Event()

    async def handler(request: Request, exchange: Exchange) -> Response:
        await gate.wait()
        return Response(200)

    async with bench([Route("GET", "/", handler)]) as b:
        await b.feed(request("GET", "/"))
        b.shared.draining = True
        b.connection.drain()
        await settle()
        assert not b.transport.closed
        gate.set()
        await settle()
        (answer,) = parse_answers(b.transport.written, "GET", eof=True)
        assert answer.headers["connection"] == "close"
        assert b.transport.closed
    async with bench([Route("GET", "/", echo)]) as b:
        await b.feed(request("GET", "/"))
        b.connection.drain()
        assert b.transport.closed
