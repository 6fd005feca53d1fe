"""Peers that keep to HTTP and do what few do: answers ahead of the answer, behind it and before the request
is out; clients of HTTP/1.0, clients that ask before they send, and that leave while they wait in line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from itertools import product
from pathlib import Path

import orjson
import pytest

from kiroproxy.eventstream.encoder import encode_frame
from kiroproxy.simulator import Settings
from tests.e2e.speakers import SPEAKERS, Heard, Wish
from tests.e2e.support import House, house, read_answer, request_bytes
from tests.http.support import until
from tests.upstream.peers import Peer, Script, chunk, serve, sized

CELLS = list(product(SPEAKERS, (True, False)))
STREAM = b"Content-Type: application/vnd.amazon.eventstream\r\n"


def event(name: str, payload: bytes) -> bytes:
    return encode_frame({":message-type": "event", ":event-type": name}, payload)


def frames(text: str) -> bytes:
    words = event("assistantResponseEvent", orjson.dumps({"content": text}))
    return words + event("meteringEvent", b'{"usage":0.1,"unit":"credit"}')


def in_chunks(text: str) -> bytes:
    head = b"HTTP/1.1 200 OK\r\n" + STREAM + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + chunk(frames(text)) + b"0\r\n\r\n"


def with_length(text: str) -> bytes:
    return sized(frames(text), extra=STREAM)


def generation(answer: Script) -> Script:
    """What answers requests for answers; any other finds nobody."""

    async def script(peer: Peer) -> None:
        head = await peer.head()
        if b"generateassistantresponse" in head.lower():
            await answer(peer)

    return script


async def rest_of(peer: Peer, head: bytes) -> None:
    """The body behind a head."""
    length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
    await peer.reader.readexactly(int(length))


async def ask(home: House, dialect: str, stream: bool, prompt: str = "hello") -> Heard:
    speaker = SPEAKERS[dialect]
    body = speaker.request(Wish(prompt), stream=stream)
    return speaker.hear(await home.send("POST", speaker.path, body))


# -- the service


@pytest.mark.parametrize("make", [in_chunks, with_length])
async def test_answers_ahead_of_the_answer(make: Callable[[str], bytes], tmp_path: Path) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(early, b"HTTP/1.1 102 Processing\r\n\r\n", make("fine"))

    async with serve(script) as server, house(tmp_path, KIRO_API_URL=server.url) as home:
        for dialect, stream in CELLS:
            heard = await ask(home, dialect, stream)
            assert (heard.text, heard.stop, heard.error) == ("fine", "end", "")


@pytest.mark.parametrize("make", [in_chunks, with_length])
@pytest.mark.parametrize("when", ["in the same piece", "later"])
async def test_answer_that_nobody_asked_for_is_nobodys(
    when: str, make: Callable[[str], bytes], tmp_path: Path
) -> None:
    """A second answer on a kept connection, as a confused balancer sends it, is of another conversation."""

    async def script(peer: Peer) -> None:
        number = 0
        while True:
            request = await peer.request()
            if b"conversationState" not in request:
                return
            number += 1
            right, wrong = make("fine"), make("somebody else's")
            if when == "later":
                await peer.send(right)
                await asyncio.sleep(0.01)
                await peer.send(wrong)
            else:
                await peer.send(right + wrong)
            assert number == 1, "a connection with an answer too many was used again"

    async with serve(script) as server, house(tmp_path, KIRO_API_URL=server.url) as home:
        for dialect, stream in CELLS:
            heard = await ask(home, dialect, stream)
            assert (heard.text, heard.stop, heard.error) == ("fine", "end", "")
            if when == "later":
                await asyncio.sleep(0.03)


@pytest.mark.parametrize(("dialect", "stream"), CELLS)
async def test_refusal_before_the_request_is_out(
    dialect: str, stream: bool, tmp_path: Path
) -> None:
    """The service reads the head, says no and closes, megabytes of the body unread: that is a reset."""
    no = sized(
        b'{"message":"Input is too long.","reason":"CONTENT_LENGTH_EXCEEDS_THRESHOLD"}',
        status=b"400 No",
    )
    asked = 0

    async def script(peer: Peer) -> None:
        nonlocal asked
        head = await peer.head()
        if (
            b"content-length" in head.lower()
            and int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) > 1_000_000
        ):
            asked += 1
            await peer.send(no)
            peer.writer.close()

    async with serve(script) as server, house(tmp_path, KIRO_API_URL=server.url) as home:
        for _ in range(2):
            heard = await ask(home, dialect, stream, "word " * 1_000_000)
            assert heard.status == 400
            assert "prompt is too long" in heard.message
        assert asked == 2


@pytest.mark.parametrize(
    ("ahead_s", "waits"), [(3, True), (60, False)], ids=["soon", "too late to wait for"]
)
async def test_unavailable_until_a_date(ahead_s: int, waits: bool, tmp_path: Path) -> None:
    asked = 0

    async def script(peer: Peer) -> None:
        nonlocal asked
        while True:
            request = await peer.request()
            if b"conversationState" not in request:
                return
            asked += 1
            if asked % 2 == 0:
                await peer.send(in_chunks("fine"))
                continue
            now_s = 1_700_000_000  # by the service's clock
            dates = (formatdate(now_s + ahead_s, usegmt=True), formatdate(now_s, usegmt=True))
            lines = b"Retry-After: %b\r\nDate: %b\r\n" % tuple(date.encode() for date in dates)
            await peer.send(sized(b"{}", status=b"503 Service Unavailable", extra=lines))

    async with serve(script) as server, house(tmp_path, KIRO_API_URL=server.url) as home:
        for number, (dialect, stream) in enumerate(CELLS):
            speaker = SPEAKERS[dialect]
            home.clock.pauses.clear()
            body = speaker.request(Wish(f"hello {number}"), stream=stream)
            answer = await home.send("POST", speaker.path, body)
            heard = speaker.hear(answer)
            if waits:
                assert (heard.text, heard.error) == ("fine", "")
                assert float(ahead_s) in home.clock.pauses
            else:
                assert heard.error and answer.headers["retry-after"] == str(ahead_s)
                assert answer.status in (503, 529)
                home.clock.pass_by(3_600)
                asked = 0


# -- clients


@pytest.mark.parametrize("keep", ["", "keep-alive"])
@pytest.mark.parametrize(("dialect", "stream"), CELLS)
async def test_client_of_http_1_0(dialect: str, stream: bool, keep: str, tmp_path: Path) -> None:
    """The end of the connection is the end of the answer, whatever else the client hopes for."""
    speaker = SPEAKERS[dialect]
    async with house(tmp_path, settings=Settings(pace_s=0.001)) as home:
        for prompt, error in (("[[sim:say one two]]", ""), ("[[sim:text 20]]", "cut")):
            if error:
                home.kiro.faults.always(error, after=4)
            reader, writer = await home.connect()
            body = orjson.dumps(speaker.request(Wish(prompt), stream=stream))
            sent = request_bytes("POST", speaker.path, body, {"Connection": keep})
            writer.write(sent.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
            answer = await read_answer(reader)
            assert "transfer-encoding" not in answer.headers
            assert answer.headers["connection"] == "close"
            heard = speaker.hear(answer)
            if error:
                assert heard.error and heard.stop == ""
            else:
                assert (heard.text, heard.stop) == ("one two", "end")


@pytest.mark.parametrize(("dialect", "stream"), CELLS)
async def test_client_that_asks_before_it_sends_and_then_is_slow(
    dialect: str, stream: bool, tmp_path: Path
) -> None:
    speaker = SPEAKERS[dialect]
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        body = orjson.dumps(speaker.request(Wish("[[sim:say fine]]"), stream=stream))
        head = request_bytes("POST", speaker.path, body, {"Expect": "100-continue"})[: -len(body)]
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        for at in range(0, len(body), 16):
            writer.write(body[at : at + 16])
            await writer.drain()
            await asyncio.sleep(0.0005)
        heard = speaker.hear(await read_answer(reader))
        assert (heard.text, heard.stop) == ("fine", "end")


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
@pytest.mark.parametrize(("dialect", "stream"), CELLS)
async def test_client_that_leaves_while_it_waits_in_line(
    dialect: str, stream: bool, reset: bool, tmp_path: Path
) -> None:
    """Its request never reaches the service, and who stands behind it is next."""
    speaker = SPEAKERS[dialect]
    async with house(tmp_path, settings=Settings(pace_s=0.01), MAX_CONCURRENT_SESSIONS="1") as home:
        server = home.app.server
        assert server is not None

        async def begin(text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await home.connect()
            body = orjson.dumps(speaker.request(Wish(text), stream=stream))
            writer.write(request_bytes("POST", speaker.path, body))
            return reader, writer

        first, _ = await begin("[[sim:text 30]]")
        await until(lambda: home.kiro.open_streams == 1)
        leaving = [await begin("[[sim:say nobody]]") for _ in range(3)]
        last, _ = await begin("[[sim:say last]]")
        await until(lambda: server.active == 5)
        for _, writer in leaving:
            if reset:
                writer.transport.abort()
            else:
                writer.close()
        await until(lambda: server.active == 2)
        assert len(speaker.hear(await read_answer(first)).text.split()) == 30
        assert speaker.hear(await read_answer(last)).text == "last"
        assert len(home.chats()) == 2
