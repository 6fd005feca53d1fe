"""The chunked-body reader beside h11, on the same reads; both must find the same body."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import h11
import pytest

from bench.workloads import reads, text_frame
from kiroproxy.upstream.body import ChunkedReader

pytestmark = pytest.mark.benchmark(timer=time.process_time)  # others may use the machine as well

CHUNKS = 5_000
"""One small frame each, as the service sends them while it generates."""

Read = Callable[[list[bytes]], bytes]


def read_ours(pieces: list[bytes]) -> bytes:
    reader = ChunkedReader()
    feed = reader.feed
    body = b"".join([feed(piece) for piece in pieces])
    reader.eof()
    return body


def read_h11(pieces: list[bytes]) -> bytes:
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    http.send(h11.EndOfMessage())
    http.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    parts = []
    for piece in pieces:
        http.receive_data(piece)
        while (event := http.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(parts)
    raise AssertionError("the stream had no end")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


FRAMES = [text_frame(f" token {number:05d}") for number in range(CHUNKS)]
STREAMS = {
    "many chunks a read": reads(b"".join(map(_chunk, FRAMES)) + b"0\r\n\r\n"),
    "one chunk a read": [*map(_chunk, FRAMES), b"0\r\n\r\n"],
    "big chunks": reads(_chunk(b"".join(FRAMES)[:65_536]) * 16 + b"0\r\n\r\n"),
}
CONTESTANTS: dict[str, Read] = {"kiroproxy": read_ours, "h11": read_h11}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", CONTESTANTS)
def test_read_chunked_body(benchmark: Any, name: str, stream: str) -> None:
    benchmark.group = f"chunked body: {stream}"
    pieces = STREAMS[stream]
    assert benchmark(CONTESTANTS[name], pieces) == read_h11(pieces)
