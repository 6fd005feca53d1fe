"""A scripted upstream for load: answers with event-stream frames at the pace the request asks for.

A load generator, not the simulator: it checks nothing and does as little as it can. A request carries
its order in the text of the prompt, ``[[bench count=500 rate=50 batch=1]]``: so many events, so many a
second (0: as fast as the socket takes them), so many frames to an HTTP chunk. Each event's text is
``@<19 digits>@ ``: its number, or, when paced, the monotonic clock in ns at the moment of writing.

Run: ``python -m bench.fast_upstream PORT``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
import time
import zlib
from functools import cache
from typing import NamedTuple, cast

import orjson

from bench.loops import run
from bench.workloads import ending_stream, text_frame

MAX_EVENTS = 1_000_000
MAX_REQUEST_BYTES = 32 * 1024 * 1024

_ORDER = re.compile(rb"\[\[bench count=(\d+) rate=(\d+) batch=(\d+)\]\]")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STAMP = b"@%019d@ "

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
    b"transfer-encoding: chunked\r\nx-amzn-requestid: bench\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
MODELS = orjson.dumps(
    {
        "defaultModel": {"modelId": "auto", "modelName": "Auto"},
        "models": [
            {
                "modelId": name,
                "modelName": name,
                "description": "",
                "rateMultiplier": 1.3,
                "rateUnit": "credit",
                "tokenLimits": {"maxInputTokens": 1_000_000, "maxOutputTokens": 64_000},
                "supportedInputTypes": ["TEXT", "IMAGE"],
            }
            for name in ("auto", "claude-sonnet-4.5", "claude-haiku-4.5")
        ],
    }
)
USAGE = orjson.dumps(
    {
        "nextDateReset": 4_102_444_800.0,
        "limits": [],
        "usageBreakdownList": [
            {
                "resourceType": "CREDIT",
                "unit": "INVOCATIONS",
                "currentUsage": 1,
                "usageLimit": 10_000,
            }
        ],
    }
)


class Order(NamedTuple):
    events: int
    rate: int
    batch: int


#: What a request without an order gets: a short answer.
SHORT = Order(5, 0, 8)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stamper:
    """One event frame with the stamp put in and the checksum made anew: a few µs less than encoding."""

    def __init__(self) -> None:
        stamp = _STAMP % 0
        frame = text_frame(stamp.decode())
        at = frame.index(stamp)
        self._before, self._after = frame[:at], frame[at + len(stamp) : -4]
        self._checksum = zlib.crc32(self._before)
        self._size = b"%x\r\n" % len(frame)

    def chunk(self, stamp: int) -> bytes:
        text = _STAMP % stamp + self._after
        checksum = zlib.crc32(text, self._checksum).to_bytes(4, "big")
        return b"".join((self._size, self._before, text, checksum, b"\r\n"))


@cache
def whole_answer(order: Order) -> bytes:
    """Everything an unpaced answer sends, once made."""
    frames = [text_frame((_STAMP % number).decode()) for number in range(order.events)]
    parts = [
        chunk(b"".join(frames[at : at + order.batch])) for at in range(0, len(frames), order.batch)
    ]
    return b"".join((STREAM_HEAD, *parts, chunk(ending_stream()), LAST_CHUNK))


class Upstream(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stamper = Stamper()
        self._received = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._received[: head_end + 2])
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if size > MAX_REQUEST_BYTES:
            self._transport.abort()
            return
        if len(self._received) < head_end + 4 + size:
            return
        body = bytes(self._received[head_end + 4 :])
        self._received.clear()
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if b"ListAvailableModels" in head:
            self._json(MODELS)
        elif b"sageLimits" in head:
            self._json(USAGE)
        else:
            found = _ORDER.search(body)
            order = Order(*map(int, found.groups())) if found else SHORT
            self._stream(order._replace(events=min(order.events, MAX_EVENTS)))

    def _json(self, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )

    def _stream(self, order: Order) -> None:
        if not order.rate:
            self._transport.write(whole_answer(order))
            return
        self._transport.write(STREAM_HEAD)
        period = 1 / order.rate
        began = self._loop.time() + random.random() * period  # streams do not beat together
        self._tick(began, period, order.events)

    def _tick(self, due: float, period: float, left: int) -> None:
        """Write the event that is due, and plan the next by the clock, not by when this one ran."""
        if not left:
            self._transport.write(chunk(ending_stream()) + LAST_CHUNK)
            return
        self._transport.write(self._stamper.chunk(time.monotonic_ns()))
        due += period
        self._timer = self._loop.call_at(due, self._tick, due, period, left - 1)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Upstream, "127.0.0.1", port, backlog=2_048
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        run(serve(int(sys.argv[1])))
