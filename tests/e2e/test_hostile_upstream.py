"""A service, or somebody in its place, that answers to do harm: an error in bounds, and nothing of its."""

from __future__ import annotations

import gzip
import itertools
import logging
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kiroproxy.eventstream.encoder import encode_frame
from kiroproxy.relay import MAX_ANSWER_BYTES
from tests.e2e.speakers import SPEAKERS, Wish
from tests.e2e.support import house, turn
from tests.upstream.peers import Peer, serve

MEGABYTE = 1_000_000
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
MARK = b"HOSTILE"


def whole(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(pieces)


def endless(start: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.chain([start], itertools.repeat(piece))


def sized(status: bytes, body: bytes, *lines: bytes) -> bytes:
    head = b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines])
    return head + b"\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


EVENT = {":message-type": "event", ":event-type": "assistantResponseEvent"}
REFUSALS: dict[str, Callable[[], Iterator[bytes]]] = {
    "2 GB of refusal": endless(
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2147483648\r\n\r\n", b"x" * 65_536
    ),
    "endless refusal until the close": endless(b"HTTP/1.1 500 No\r\n\r\n", b"y" * 65_536),
    "endless refusal in chunks": endless(
        b"HTTP/1.1 429 No\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"z" * 65_536)
    ),
    "endless headers": endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1_000),
    "a header line of a megabyte": whole(
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * MEGABYTE + b"\r\nContent-Length: 0\r\n\r\n"
    ),
    "1xx without end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "103 without end": endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100),
    "101": whole(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    "two lengths": whole(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "a negative length": whole(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "an unknown coding": whole(STREAM + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    "a chunk of 2 to the 60": endless(
        STREAM + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n", b"\0" * 65_536
    ),
    "a chunk size without end": endless(
        STREAM + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 1_000
    ),
    "a trailer without end": endless(
        STREAM + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 1_000
    ),
    "a gzip bomb": whole(
        sized(
            b"200 OK",
            gzip.compress(b"\0" * 50 * MEGABYTE),
            b"Content-Type: application/vnd.amazon.eventstream",
            b"Content-Encoding: gzip",
        )
    ),
    "a frame of 2 GB": endless(
        STREAM + b"Transfer-Encoding: chunked\r\n\r\n",
        chunk(b"\x7f\xff\xff\xff\0\0\0\0\0\0\0\0" + b"\0" * 60_000),
    ),
    "JSON in place of a stream": whole(sized(b"200 OK", b'{"message":"HOSTILE"}')),
    "a page": whole(
        sized(b"200 OK", b"<script>alert(1)</script>" * 10_000, b"Content-Type: text/html")
    ),
    "SSH": whole(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "noise": whole(bytes(range(256)) * 100),
    "nothing": whole(),
    "deep JSON": whole(sized(b"400 No", b"[" * MEGABYTE)),
    "deep and whole JSON": whole(sized(b"400 No", b'{"message":' * 20_000 + b"1" + b"}" * 20_000)),
    "a refusal of wrong types": whole(
        sized(b"400 No", b'{"__type":[1],"message":{"a":[]},"reason":7,"Message":null}')
    ),
    "an event of wrong types": whole(
        sized(
            b"200 OK",
            encode_frame(EVENT, b'{"content":{"a":[1]}}')
            + encode_frame(EVENT, b"[" * 60_000)
            + encode_frame({":message-type": "HOSTILE"}, b"{}"),
            b"Content-Type: application/vnd.amazon.eventstream",
        )
    ),
    "headers for the client": whole(
        sized(
            b"400 No",
            b'{"message":"no"}',
            b"Set-Cookie: HOSTILE=1",
            b"X-Amzn-Requestid: HOSTILE" + b"\xff" * 50,
            b"Access-Control-Allow-Credentials: true",
            b"Location: https://evil.example/HOSTILE",
            b"Refresh: 0;url=HOSTILE",
        )
    ),
    "retry-after below zero": whole(sized(b"429 No", b"{}", b"Retry-After: -5")),
    "retry-after of ages": whole(sized(b"429 No", b"{}", b"Retry-After: " + b"9" * 5_000)),
    "retry-after is no number": whole(sized(b"429 No", b"{}", b"Retry-After: nan")),
}


async def play(peer: Peer, pieces: Iterator[bytes]) -> None:
    """Send for as long as the proxy takes it."""
    try:
        await peer.request()
        for piece in pieces:
            await peer.send(piece)
        peer.writer.close()
    except (ConnectionError, EOFError):
        peer.writer.close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REFUSALS)
async def test_hostile_answer_is_an_error_in_bounds(
    tmp_path: Path, name: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(peer: Peer) -> None:
        await play(peer, REFUSALS[name]())

    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with serve(script) as server, house(tmp_path, KIRO_API_URL=server.url) as home:
        answer = await home.send("POST", "/v1/messages", turn("hello", stream=stream))
        if answer.headers["content-type"].startswith("text/event-stream"):
            assert answer.events[-1][0] == "error"
        else:
            assert 400 <= answer.status <= 599
        assert answer.whole
        assert answer.error["message"]
        assert len(answer.error["message"]) < 5_000
        for header in ("set-cookie", "location", "refresh", "access-control-allow-credentials"):
            assert header not in answer.headers
        assert 0 <= int(answer.headers.get("retry-after", "0")) <= 86_400
        assert (await home.send("GET", "/health")).status == 200
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 100_000


@pytest.mark.parametrize("behind_head", [False, True])
@pytest.mark.parametrize("speaker", SPEAKERS)
async def test_text_before_broken_framing_in_the_same_read_reaches_the_client(
    tmp_path: Path, speaker: str, behind_head: bool
) -> None:
    """Head, text and nonsense in one write, or the text and the nonsense behind a head of its own."""
    head = STREAM + b"Transfer-Encoding: chunked\r\n\r\n"
    broken = chunk(encode_frame(EVENT, b'{"content":"what came"}')) + b"nonsense\r\n"

    async def script(peer: Peer) -> None:
        await play(peer, iter([head + broken] if behind_head else [head, broken]))

    async with serve(script) as server, house(tmp_path, KIRO_API_URL=server.url) as home:
        sent = SPEAKERS[speaker].request(Wish("hello"), stream=True)
        answer = await home.send("POST", SPEAKERS[speaker].path, sent)
        assert b"what came" in answer.body
        assert b"malformed" in answer.body
        for end in (b"message_stop", b"[DONE]", b'finish_reason":"', b"response.completed"):
            assert end not in answer.body


def event(name: str, payload: bytes) -> bytes:
    return encode_frame({":message-type": "event", ":event-type": name}, payload)


LONG = b"x" * 8_000
#: Frame by frame all right; what is repeated, behind what. No limit of the request's ends any of it.
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "text": (b"", event("assistantResponseEvent", b'{"content":"%b"}' % LONG)),
    "thinking": (b"", event("reasoningContentEvent", b'{"text":"%b"}' % LONG)),
    "signatures": (b"", event("reasoningContentEvent", b'{"signature":"%b"}' % LONG)),
    "text behind an open call": (
        event("toolUseEvent", b'{"toolUseId":"1","name":"t","input":"{"}'),
        event("assistantResponseEvent", b'{"content":"%b"}' % LONG),
    ),
    "calls": (
        b"",
        event("toolUseEvent", b'{"toolUseId":"1","name":"t","input":{"a":"%b"}}' % LONG),
    ),
    "events that nobody knows": (b"", event("what", b'{"a":"%b"}' % LONG)),
}


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        *((name, False) for name in ENDLESS),
        ("signatures", True),
        ("text behind an open call", True),
    ],
)
async def test_answer_without_an_end_is_cut(tmp_path: Path, name: str, stream: bool) -> None:
    before, again = ENDLESS[name]
    asked = []

    async def script(peer: Peer) -> None:
        request = await peer.request()
        if b"conversationState" in request:
            asked.append(request)
            start = (
                STREAM + b"Transfer-Encoding: chunked\r\n\r\n" + (chunk(before) if before else b"")
            )
            pieces = itertools.repeat(chunk(again * 8), 3 * MAX_ANSWER_BYTES // len(again * 8))
            for piece in itertools.chain([start], pieces):
                await peer.send(piece)

    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with serve(script) as server, house(tmp_path, KIRO_API_URL=server.url) as home:
        speaker = SPEAKERS["chat"]
        sent = speaker.request(Wish("hello", tools=("t",)), stream=stream)
        del sent["max_completion_tokens"]
        answer = await home.send("POST", speaker.path, sent)
        heard = speaker.hear(answer)
        assert heard.error and "64 MiB" in heard.message
        assert len(asked) == 1  # it would be as long once more
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert grown_kb < 4 * MAX_ANSWER_BYTES // 1024


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"])
async def test_redirect_is_not_followed_and_takes_no_token_along(
    tmp_path: Path, status: bytes
) -> None:
    async def elsewhere(peer: Peer) -> None:
        await peer.request()

    async with serve(elsewhere) as trap:
        location = b"Location: " + trap.url.encode()

        async def script(peer: Peer) -> None:
            await play(peer, iter([sized(status, b"", location)]))

        async with serve(script) as server, house(tmp_path, KIRO_API_URL=server.url) as home:
            answer = await home.ask("hello")
            assert answer.status >= 400
            assert trap.url not in answer.error["message"]
        assert trap.peers == []
