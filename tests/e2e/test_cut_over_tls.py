"""TLS that ends without a word: the socket goes, no close_notify comes. Whatever delimits the answer says
whether it is whole; the line's end alone is never taken for the answer's."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from kiroproxy.eventstream.encoder import encode_frame
from tests.e2e.speakers import SPEAKERS, Wish
from tests.e2e.support import house
from tests.loops import LOOPS
from tests.upstream.peers import Peer, Tls, chunk, serve

CELLS = list(product(SPEAKERS, (True, False)))
WORDS = [b"one ", b"two ", b"three ", b"four"]


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


def event(name: bytes, payload: bytes) -> bytes:
    return encode_frame({":message-type": "event", ":event-type": name.decode()}, payload)


FRAMES = [event(b"assistantResponseEvent", b'{"content":"%b"}' % word) for word in WORDS]
END = event(b"meteringEvent", b'{"usage":0.1,"unit":"credit"}')
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ALL = b"".join(FRAMES) + END
SIZED = HEAD + b"Content-Length: %d\r\n\r\n" % len(ALL)


@dataclass(frozen=True)
class Cut:
    """``sent``: all that comes before the line goes. ``shown``: the words a stream has given by then."""

    name: str
    sent: tuple[bytes, ...]
    shown: str = "one two three four"
    whole: bool = False

    def __str__(self) -> str:
        return self.name


TWO = b"".join(FRAMES[:2])
CUTS = [
    Cut("behind the head of chunks", (CHUNKED,), ""),
    Cut("between chunks", (CHUNKED, chunk(FRAMES[0]), chunk(FRAMES[1])), "one two "),
    Cut("in a chunk", (CHUNKED, chunk(TWO), chunk(FRAMES[2])[:-20]), "one two "),
    Cut("before the last chunk", (CHUNKED, chunk(b"".join(FRAMES)), chunk(END))),
    Cut("in the last chunk", (CHUNKED, chunk(b"".join(FRAMES)), chunk(END), b"0\r\n")),
    Cut("behind the last chunk", (CHUNKED, chunk(ALL), b"0\r\n\r\n"), whole=True),
    Cut("behind the head with a length", (SIZED,), ""),
    Cut("in the middle of a length", (SIZED, TWO), "one two "),
    Cut("a byte before the length", (SIZED, ALL[:-1])),
    Cut("behind the length", (SIZED, ALL), whole=True),
    Cut("without a length, in a frame", (HEAD + b"\r\n", TWO, FRAMES[2][:-3]), "one two "),
    Cut("without a length, between frames", (HEAD + b"\r\n", b"".join(FRAMES))),
    Cut("without a length, behind all", (HEAD + b"\r\n", ALL), whole=True),
]


def drop(peer: Peer) -> None:
    """The socket ends; TLS says nothing of it."""
    number = peer.writer.get_extra_info("socket").fileno()
    with socket.socket(fileno=os.dup(number)) as line:
        line.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("cut", CUTS, ids=str)
async def test_line_that_ends_without_a_word(cut: Cut, tls: Tls, tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        request = await peer.request()
        if b"conversationState" in request:  # else it is about models or quotas
            asked.append(request)
            await peer.send(*cut.sent)
        drop(peer)

    tls.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    given = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    async with (
        serve(script, tls=tls.server("localhost")) as server,
        house(tmp_path, KIRO_API_URL=server.url, **given) as home,
    ):
        for number, (dialect, stream) in enumerate(CELLS):
            asked.clear()
            speaker = SPEAKERS[dialect]
            sent = speaker.request(Wish(f"hello {number}"), stream=stream)
            answer = await home.send("POST", speaker.path, sent)
            heard = speaker.hear(answer)
            assert answer.whole
            if cut.whole:
                assert (heard.text, heard.stop, heard.error) == (cut.shown, "end", "")
                continue
            assert heard.error and heard.message and heard.stop == ""
            assert heard.text == (cut.shown if stream else "")
            # What has shown nothing is asked for once more, and what has shown something never.
            assert len(asked) == (1 if heard.text else 2)
