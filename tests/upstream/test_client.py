"""The client against scripted servers on real sockets."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import socket
import weakref
from dataclasses import replace

import pytest

from kiroproxy.errors import (
    ConfigError,
    ConnectError,
    ConnectionLostError,
    InternalError,
    PeerProtocolError,
    StaleConnectionError,
    TransportError,
    UpstreamTimeoutError,
)
from kiroproxy.upstream import PoolLimits, UpstreamClient
from tests.upstream.fakes import ManualClock
from tests.upstream.peers import CHUNKED_HEAD, PATIENT, Peer, chunk, serve, sized

BIG_BODY = b"x" * 8_000_000
"""More than loopback's socket buffers hold."""


async def ok(peer: Peer) -> None:
    """Answers every request with its own length."""
    while True:
        request = await peer.request()
        await peer.send(sized(b"%d" % len(request)))


async def get(client: UpstreamClient, url: str) -> bytes:
    response = await client.send("GET", url, [], b"", PATIENT)
    return await response.read(1 << 20)


async def test_request_arrives_as_sent() -> None:
    seen = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(sized(b"ok", extra=b"X-Amzn-Requestid: r1\r\n"))

    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send(
            "POST", server.url + "/a?b=c", [(b"authorization", b"Bearer t")], b'{"x":1}', PATIENT
        )
        assert (response.status, response.headers.get("X-Amzn-RequestId")) == (200, "r1")
        assert await response.read(10) == b"ok"
        await client.aclose()
    host = server.url.removeprefix("http://").encode()
    assert seen == [
        b"POST /a?b=c HTTP/1.1\r\nhost: " + host + b"\r\nauthorization: Bearer t\r\n"
        b'content-length: 7\r\n\r\n{"x":1}'
    ]


async def test_connection_is_reused() -> None:
    client = UpstreamClient()
    async with serve(ok) as server:
        for _ in range(3):
            await get(client, server.url)
        assert len(server.peers) == 1
        assert repr(client.pool) == f"<Pool [{server.url} 1 open 1 idle] waiting=0>"
        await client.aclose()
        assert repr(client.pool) == "<Pool [] waiting=0>"


async def test_response_is_gone_with_its_last_user() -> None:
    """Without a garbage collection: it holds what was read."""
    client = UpstreamClient()
    gc.disable()
    try:
        async with serve(ok) as server:
            response = await client.send("GET", server.url, [], b"", PATIENT)
            await response.read(1 << 20)
            seen = weakref.ref(response)
            del response
            assert seen() is None
            await client.aclose()
    finally:
        gc.enable()


async def test_big_body_arrives_whole() -> None:
    client = UpstreamClient()
    async with serve(ok) as server:
        response = await client.send("POST", server.url, [], BIG_BODY, PATIENT)
        assert int(await response.read(100)) > len(BIG_BODY)
        assert repr(client.pool) == f"<Pool [{server.url} 1 open 1 idle] waiting=0>"
        await client.aclose()


async def test_informational_answers_are_skipped() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\n\r\n", sized(b"ok")
        )

    client = UpstreamClient()
    async with serve(script) as server:
        assert await get(client, server.url) == b"ok"
        await client.aclose()


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
        ("POST", b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_answer_without_body_frees_the_connection(method: str, head: bytes) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(head)

    client = UpstreamClient()
    async with serve(script) as server:
        for _ in range(2):
            response = await client.send(method, server.url, [], b"", PATIENT)
            assert await response.read(10) == b""
        assert len(server.peers) == 1
        await client.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nok",
        CHUNKED_HEAD + chunk(b"ok") + b"0\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n"
        + chunk(b"ok")
        + b"0\r\n\r\n",
    ],
)
async def test_connection_is_closed_behind_the_message(answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.client_closed()

    client = UpstreamClient()
    async with serve(script) as server:
        assert await get(client, server.url) in (b"ok", b"")
        assert repr(client.pool) == "<Pool [] waiting=0>"
        await server.peers[0].seen_close.wait()


async def test_body_until_close_ends_at_eof() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", b"some", b"thing")

    client = UpstreamClient()
    async with serve(script) as server:
        assert await get(client, server.url) == b"something"
        assert repr(client.pool) == "<Pool [] waiting=0>"


async def test_body_until_close_ended_by_a_reset_is_lost() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()  # the request's body stays unread: closing now sends a RST
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
        peer.reset()

    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send("POST", server.url, [], BIG_BODY, PATIENT)
        with pytest.raises(ConnectionLostError):
            await response.read(100)


CUT_ANSWERS = {
    "nothing": b"",
    "in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "sized body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234",
    "before the chunks": CHUNKED_HEAD,
    "in a chunk": CHUNKED_HEAD + b"5\r\nhe",
    "between chunks": CHUNKED_HEAD + chunk(b"hello"),
    "in the last chunk": CHUNKED_HEAD + chunk(b"hello") + b"0\r\n",
}


@pytest.mark.parametrize("case", CUT_ANSWERS)
async def test_cut_answer_is_lost(case: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CUT_ANSWERS[case])

    client = UpstreamClient()
    async with serve(script) as server:
        with pytest.raises(ConnectionLostError, match=r"127\.0\.0\.1"):
            await get(client, server.url)
        assert repr(client.pool) == "<Pool [] waiting=0>"


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n\r\n", CHUNKED_HEAD + b"nonsense\r\n", b"\x00" * 70_000]
)
async def test_garbage_is_a_protocol_error(answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.client_closed()

    client = UpstreamClient()
    async with serve(script) as server:
        with pytest.raises(PeerProtocolError):
            await get(client, server.url)
        await server.peers[0].seen_close.wait()


async def test_early_answer_while_the_body_is_still_being_written() -> None:
    """A 413 comes after the head; the client gets it, and the connection is not used again."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(sized(b"too big", status=b"413 Too Large", extra=b"Connection: close\r\n"))
        await peer.reader.read(1)
        await hold.wait()

    client = UpstreamClient()
    hold = asyncio.Event()
    async with serve(script) as server:
        response = await client.send("POST", server.url, [], BIG_BODY, PATIENT)
        assert (response.status, await response.read(100)) == (413, b"too big")
        assert repr(client.pool) == "<Pool [] waiting=0>"
        hold.set()


async def test_early_answer_of_a_keep_alive_server_closes_the_connection_too() -> None:
    """Part of our body is still unsent: the next request would be taken for its rest."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(sized(b"no", status=b"400 Bad"))
        await hold.wait()

    client = UpstreamClient()
    hold = asyncio.Event()
    async with serve(script) as server:
        response = await client.send("POST", server.url, [], BIG_BODY, PATIENT)
        assert (response.status, await response.read(100)) == (400, b"no")
        assert repr(client.pool) == "<Pool [] waiting=0>"
        hold.set()


# -- dead while idle, stale


@pytest.mark.parametrize("goodbye", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_idle_connection_is_dropped_when_the_peer_closes_or_speaks(goodbye: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(sized(b"ok"))
        if len(server.peers) == 1:
            await asked.wait()
            await peer.send(goodbye)
            peer.writer.close()
            said.set()

    client = UpstreamClient()
    asked, said = asyncio.Event(), asyncio.Event()
    async with serve(script) as server:
        await get(client, server.url)
        assert repr(client.pool) == f"<Pool [{server.url} 1 open 1 idle] waiting=0>"
        asked.set()
        await said.wait()
        await asyncio.wait_for(_pool_is_empty(client), 10)
        assert await get(client, server.url) == b"ok"


async def test_idle_close_the_loop_has_not_told_us_yet_is_seen_before_writing() -> None:
    """The FIN lies in the kernel, the loop has not polled: nothing is written to that connection."""

    async def script(peer: Peer) -> None:
        requests.append(await peer.request())
        await peer.send(sized(b"ok"))
        await peer.client_closed()

    requests: list[bytes] = []
    client = UpstreamClient()
    async with serve(script) as server:
        await get(client, server.url)
        transport = server.peers[0].writer.transport
        sock = transport.get_extra_info("socket")
        duplicate = socket.socket(fileno=os.dup(sock.fileno()))
        duplicate.shutdown(socket.SHUT_WR)  # no turn of the loop between this and send()
        duplicate.close()
        assert await get(client, server.url) == b"ok"
        assert len(server.peers) == 2
        assert len(requests) == 2
        await client.aclose()


async def test_reused_connection_that_ends_before_the_request_is_out_is_retried_once() -> None:
    """The service cannot hold the whole request, so sending it again is safe."""

    async def script(peer: Peer) -> None:
        if server.peers[0] is peer:
            await ok_once(peer)
            await peer.head()
            peer.reset()
        else:
            await ok(peer)

    client = UpstreamClient()
    async with serve(script) as server:
        await get(client, server.url)
        response = await client.send("POST", server.url, [], BIG_BODY, PATIENT)
        assert int(await response.read(100)) > len(BIG_BODY)
        assert len(server.peers) == 2
        await client.aclose()


async def ok_once(peer: Peer) -> None:
    await peer.request()
    await peer.send(sized(b"ok"))


async def test_reused_connection_that_ends_after_the_request_is_out_is_not_retried() -> None:
    """The service may have begun, and a POST may be billed: the caller decides."""

    async def script(peer: Peer) -> None:
        await ok_once(peer)
        await peer.request()

    client = UpstreamClient()
    async with serve(script) as server:
        await get(client, server.url)
        with pytest.raises(ConnectionLostError):
            await client.send("POST", server.url, [], b"{}", PATIENT)
        assert len(server.peers) == 1


async def test_new_connection_that_ends_before_the_request_is_out_is_not_stale() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.reset()

    client = UpstreamClient()
    async with serve(script) as server:
        with pytest.raises(TransportError) as caught:
            await client.send("POST", server.url, [], BIG_BODY, PATIENT)
        assert not isinstance(caught.value, StaleConnectionError)
        assert len(server.peers) == 1


# -- pipe, pause, close


async def test_pipe_calls_the_sink_once_per_read() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunk(b"a") + chunk(b"b"))
        for _ in range(3):
            await turn.wait()
            turn.clear()
            await peer.send(chunk(b"c") * 100)
        await peer.send(b"0\r\n\r\n")

    def sink(data: bytes) -> None:
        got.append(data)
        turn.set()

    got: list[bytes] = []
    turn = asyncio.Event()
    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        await response.pipe(sink)
        await client.aclose()
    assert got == [b"ab", b"c" * 100, b"c" * 100, b"c" * 100]


async def test_body_that_came_before_pipe_is_handed_over_at_once_then_the_error() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD, chunk(b"a"), chunk(b"b"))

    client = UpstreamClient()
    got: list[bytes] = []
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        await asyncio.wait_for(_pool_is_empty(client), 10)  # the cut is known by now
        with pytest.raises(ConnectionLostError):
            await response.pipe(got.append)
    assert got == [b"ab"]


@pytest.mark.parametrize("behind_head", [False, True])
async def test_all_that_came_before_broken_chunks_is_handed_over_then_the_error(
    behind_head: bool,
) -> None:
    """All of it in one read."""

    async def script(peer: Peer) -> None:
        await peer.request()
        broken = chunk(b"a") + chunk(b"b") + b"nonsense\r\n" + chunk(b"c")
        await peer.send(*([CHUNKED_HEAD + broken] if behind_head else [CHUNKED_HEAD, broken]))
        await peer.client_closed()

    client = UpstreamClient()
    got: list[bytes] = []
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        with pytest.raises(PeerProtocolError):
            await response.pipe(got.append)
        assert repr(client.pool) == "<Pool [] waiting=0>"
    assert got == [b"ab"]


async def _pool_is_empty(client: UpstreamClient) -> None:
    while repr(client.pool) != "<Pool [] waiting=0>":
        await asyncio.sleep(0.001)


async def test_unclaimed_body_is_held_within_a_limit() -> None:
    """Nobody pipes: after a while the socket is not read any more, and then nothing is lost."""
    body = b"y" * 32_000_000

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(sized(body))
        await peer.client_closed()

    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        unsent = -1
        while (left := server.peers[0].writer.transport.get_write_buffer_size()) != unsent:
            unsent = left
            await asyncio.sleep(0.05)
        assert unsent > 0
        assert await response.read(len(body)) == body
        await client.aclose()


async def test_error_of_the_sink_comes_out_unchanged_and_closes_the_connection() -> None:
    class SinkError(Exception):
        pass

    error = SinkError("mine")

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD, chunk(b"first"))
        await turn.wait()
        await peer.send(chunk(b"second"))
        await peer.client_closed()

    def sink(data: bytes) -> None:
        turn.set()
        if data.endswith(b"second"):
            raise error

    turn = asyncio.Event()
    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        with pytest.raises(SinkError) as caught:
            await response.pipe(sink)
        assert caught.value is error
        assert repr(client.pool) == "<Pool [] waiting=0>"
        await server.peers[0].seen_close.wait()


async def test_error_of_the_sink_on_held_bytes_closes_the_connection_too() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunk(b"first"))
        await peer.client_closed()

    def sink(data: bytes) -> None:
        raise StopIteration  # the one exception a future refuses to carry

    async def pipe() -> str:
        try:
            await response.pipe(sink)
        except RuntimeError as error:  # what a coroutine makes of StopIteration
            return repr(error.__cause__)
        return ""

    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        assert await pipe() == "StopIteration()"
        await server.peers[0].seen_close.wait()


async def test_close_from_the_sink_ends_pipe_and_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        await turn.wait()
        await peer.send(chunk(b"enough"))
        await peer.client_closed()

    def sink(data: bytes) -> None:
        got.append(data)
        response.close()
        response.close()

    got: list[bytes] = []
    turn = asyncio.Event()
    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        asyncio.get_running_loop().call_soon(turn.set)
        await response.pipe(sink)
        assert got == [b"enough"]
        await server.peers[0].seen_close.wait()


async def test_close_when_the_message_is_complete_keeps_the_connection() -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(CHUNKED_HEAD)
            await turn.wait()
            await peer.send(chunk(b"all") + b"0\r\n\r\n")

    turn = asyncio.Event()
    client = UpstreamClient()
    async with serve(script) as server:
        for _ in range(2):
            response = await client.send("GET", server.url, [], b"", PATIENT)
            asyncio.get_running_loop().call_soon(turn.set)
            await response.pipe(lambda _: response.close())  # noqa: B023
            response.close()
        assert len(server.peers) == 1
        await client.aclose()


async def test_pause_stops_the_reads_and_resume_goes_on() -> None:
    body = b"z" * 32_000_000

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(sized(body))
        await peer.client_closed()

    def sink(data: bytes) -> None:
        got.append(data)
        if len(got) == 1:
            response.pause()

    got: list[bytes] = []
    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        piping = asyncio.create_task(response.pipe(sink))
        while not got:
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert len(got) == 1
        response.resume()
        await piping
        assert b"".join(got) == body
        await client.aclose()


async def test_read_over_the_limit_closes_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(sized(b"x" * 100))
        await peer.client_closed()

    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        with pytest.raises(PeerProtocolError, match="over 99 bytes"):
            await response.read(99)


async def test_body_can_be_read_once() -> None:
    client = UpstreamClient()
    async with serve(ok) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        await response.read(100)
        with pytest.raises(InternalError):
            await response.read(100)
        await client.aclose()


# -- clocks


async def _silent(peer: Peer) -> None:
    await peer.request()
    await peer.client_closed()


async def test_first_byte_timeout() -> None:
    client = UpstreamClient()
    async with serve(_silent) as server:
        with pytest.raises(UpstreamTimeoutError) as caught:
            await client.send("GET", server.url, [], b"", replace(PATIENT, first_byte_s=0.05))
        assert caught.value.phase == "first_byte"
        await server.peers[0].seen_close.wait()


async def test_total_timeout_while_bytes_keep_coming() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        while True:
            await peer.send(chunk(b"x"))
            await asyncio.sleep(0.01)

    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send(
            "GET", server.url, [], b"", replace(PATIENT, idle_s=math.inf, total_s=0.1)
        )
        with pytest.raises(UpstreamTimeoutError) as caught:
            await response.read(1 << 30)
        assert caught.value.phase == "total"


async def test_idle_timeout_counts_from_the_last_read() -> None:
    """Four gaps within the limit are fine, one over it is not. The clock is ours, so load is too."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        for _ in range(4):
            await turn.wait()
            turn.clear()
            await peer.send(chunk(b"x"))
        await peer.client_closed()

    async def drive() -> None:
        for number in range(4):
            clock.now_s += 0.015
            await asyncio.sleep(0.05)  # time for a timer that counts wrongly to run out
            turn.set()
            while len(got) == number:
                await asyncio.sleep(0.001)
        clock.now_s += 0.025

    clock, turn = ManualClock(), asyncio.Event()
    client = UpstreamClient(clock=clock)
    got: list[bytes] = []
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", replace(PATIENT, idle_s=0.02))
        driving = asyncio.create_task(drive())
        with pytest.raises(UpstreamTimeoutError) as caught:
            await response.pipe(got.append)
        assert caught.value.phase == "idle"
        assert got == [b"x"] * 4
        await driving
        await server.peers[0].seen_close.wait()


async def test_time_while_paused_is_not_idle_time() -> None:
    """Neither in the pause nor behind it; what was left of the limit before it still counts."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(sized(b"abcd")[:-2])
        await go_on.wait()
        await peer.send(b"c")
        await peer.client_closed()

    clock, go_on = ManualClock(), asyncio.Event()
    client = UpstreamClient(clock=clock)
    got: list[bytes] = []
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", replace(PATIENT, idle_s=0.02))
        response.pause()
        piping = asyncio.create_task(response.pipe(got.append))
        clock.now_s += 10
        await asyncio.sleep(0.05)
        response.resume()
        await asyncio.sleep(0.05)
        assert not piping.done()
        go_on.set()
        while b"".join(got) != b"abc":
            await asyncio.sleep(0.001)
        clock.now_s += 0.025
        with pytest.raises(UpstreamTimeoutError) as caught:
            await piping
        assert caught.value.phase == "idle"


async def test_total_time_goes_on_while_paused() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        await peer.client_closed()

    client = UpstreamClient()
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", replace(PATIENT, total_s=0.1))
        response.pause()
        with pytest.raises(UpstreamTimeoutError) as caught:
            await response.read(100)
        assert caught.value.phase == "total"


async def test_connect_timeout_covers_waiting_for_a_place() -> None:
    client = UpstreamClient(PoolLimits(per_origin=1))
    async with serve(_silent) as server:
        first = asyncio.create_task(client.send("GET", server.url, [], b"", PATIENT))
        while repr(client.pool) == "<Pool [] waiting=0>":
            await asyncio.sleep(0)
        with pytest.raises(UpstreamTimeoutError) as caught:
            await client.send("GET", server.url, [], b"", replace(PATIENT, connect_s=0.05))
        assert caught.value.phase == "connect"
        first.cancel()
        await asyncio.wait([first])
        await client.aclose()


async def test_infinite_timeouts_never_run_out() -> None:
    client = UpstreamClient()
    forever = replace(PATIENT, connect_s=math.inf, first_byte_s=math.inf)
    forever = replace(forever, idle_s=math.inf, total_s=math.inf)
    async with serve(ok) as server:
        response = await client.send("GET", server.url, [], b"", forever)
        assert response.status == 200
        await response.read(100)
        await client.aclose()


# -- cancelling leaves nothing behind


async def _cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_send_closes_the_connection() -> None:
    client = UpstreamClient()
    async with serve(_silent) as server:
        task: asyncio.Task[object] = asyncio.create_task(
            client.send("POST", server.url, [], b"{}", PATIENT)
        )
        await server.asked()
        await _cancelled(task)
        assert repr(client.pool) == "<Pool [] waiting=0>"
        await server.peers[0].seen_close.wait()


async def test_cancelled_send_in_the_middle_of_a_big_body_closes_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        started.set()
        await go_on.wait()
        await peer.client_closed()

    client = UpstreamClient()
    started, go_on = asyncio.Event(), asyncio.Event()
    async with serve(script) as server:
        task: asyncio.Task[object] = asyncio.create_task(
            client.send("POST", server.url, [], BIG_BODY, PATIENT)
        )
        await started.wait()
        await _cancelled(task)
        assert repr(client.pool) == "<Pool [] waiting=0>"
        go_on.set()
        await server.peers[0].seen_close.wait()


@pytest.mark.parametrize("paused", [False, True])
async def test_cancelled_pipe_closes_the_connection(paused: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD, chunk(b"first"))
        await peer.client_closed()

    client = UpstreamClient()
    got: list[bytes] = []
    async with serve(script) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        task: asyncio.Task[object] = asyncio.create_task(response.pipe(got.append))
        while not got:
            await asyncio.sleep(0)
        if paused:
            response.pause()
        await _cancelled(task)
        assert repr(client.pool) == "<Pool [] waiting=0>"
        await server.peers[0].seen_close.wait()


async def test_cancelled_waiter_leaves_the_queue() -> None:
    client = UpstreamClient(PoolLimits(per_origin=1))
    async with serve(_silent) as server:
        first: asyncio.Task[object] = asyncio.create_task(
            client.send("GET", server.url, [], b"", PATIENT)
        )
        await server.asked()
        second: asyncio.Task[object] = asyncio.create_task(
            client.send("GET", server.url, [], b"", PATIENT)
        )
        while "waiting=1" not in repr(client.pool):
            await asyncio.sleep(0)
        await _cancelled(second)
        assert repr(client.pool) == f"<Pool [{server.url} 1 open 0 idle] waiting=0>"
        await _cancelled(first)
        assert repr(client.pool) == "<Pool [] waiting=0>"


async def test_aclose_ends_exchanges_under_way() -> None:
    client = UpstreamClient()
    async with serve(_silent) as server:
        task = asyncio.create_task(client.send("GET", server.url, [], b"", PATIENT))
        await server.asked()
        await client.aclose()
        with pytest.raises(ConnectionLostError):
            await task
        with pytest.raises(ConnectError):
            await client.send("GET", server.url, [], b"", PATIENT)
        await server.peers[0].seen_close.wait()


async def test_bad_url_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        await UpstreamClient().send("GET", "gopher://x/", [], b"", PATIENT)
