"""HTTP client connections of the load test: raw requests, as little parsing as possible."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import cast

STAMP = re.compile(rb"@(\d{19})@")
STAMP_BYTES = 21
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass(slots=True)
class Reply:
    """Timed: ``events`` and ``latencies_ns``. Not timed: ``body``, with its chunk framing."""

    status: int = 0
    body: bytes = b""
    events: int = 0
    #: When each event was written, by the monotonic clock, and how long it took to here.
    latencies_ns: list[tuple[int, int]] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._done: asyncio.Future[Reply] | None = None
        self._timed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def request(
        self, data: bytes, *, timed: bool = False, measure_from_ns: int = 0
    ) -> asyncio.Future[Reply]:
        """Send; the reply comes when its last byte has. ``timed``: read the clock stamps out of the
        body as it comes; latencies of events written before ``measure_from_ns`` are not kept."""
        assert self._done is None or self._done.done()
        self._done = asyncio.get_running_loop().create_future()
        self._timed = timed
        self._measure_from_ns = measure_from_ns
        self._reply = Reply()
        self._head = bytearray()
        self._parts: list[bytes] = []
        self._left: int | None = None  # bytes of a sized body still to come
        self._tail = b""
        self._in_body = False
        self._transport.write(data)
        return self._done

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._done is None or self._done.done():
            return
        if not self._in_body:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._head[: end + 2])
            data = bytes(self._head[end + 4 :])
            self._reply.status = int(head[9:12])
            length = _LENGTH.search(head)
            self._left = int(length[1]) if length else None
            self._in_body = True
        self._take(data, now)

    def _take(self, data: bytes, now: int) -> None:
        window = self._tail + data
        if self._timed:
            self._read_stamps(window, now)
        else:
            self._parts.append(data)
            self._tail = window[-len(_LAST_CHUNK) :]
        if self._left is not None:
            self._left -= len(data)
            if self._left <= 0:
                self._finish()
        elif window.endswith(_LAST_CHUNK):
            self._finish()

    def _read_stamps(self, window: bytes, now: int) -> None:
        """All stamps of ``window``; what may be the beginning of one stays in the tail."""
        end = 0
        for match in STAMP.finditer(window):
            self._reply.events += 1
            stamp = int(match[1])
            if stamp >= self._measure_from_ns:
                self._reply.latencies_ns.append((stamp, now - stamp))
            end = match.end()
        self._tail = window[max(end, len(window) - STAMP_BYTES) :]

    def _finish(self) -> None:
        reply = self._reply
        reply.body = b"".join(self._parts)
        assert self._done is not None
        self._done.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(exc or ConnectionResetError("closed in the middle of a reply"))

    def close(self) -> None:
        self._transport.abort()


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, "127.0.0.1", port
    )
    return connection


async def connect_many(port: int, count: int) -> list[Connection]:
    """In groups, so that no backlog overflows."""
    connections: list[Connection] = []
    while len(connections) < count:
        group = min(50, count - len(connections))
        connections += await asyncio.gather(*(connect(port) for _ in range(group)))
    return connections


def http_request(body: bytes, key: str, path: str = "/v1/messages") -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"%b\r\ncontent-length: %d\r\n\r\n%b"
        % (path.encode(), _key_header(key, path), len(body), body)
    )


def _key_header(key: str, path: str) -> bytes:
    """As the dialect's own clients send it."""
    if path.startswith("/v1/messages"):
        return b"x-api-key: %b\r\nanthropic-version: 2023-06-01" % key.encode()
    return b"authorization: Bearer %b" % key.encode()


def numbers_in(body: bytes) -> list[int]:
    """The numbers an unpaced answer carries, its chunk heads taken out before: they may cut one."""
    return [int(number) for number in STAMP.findall(body)]


def dechunked(body: bytes) -> bytes:
    parts = []
    at = 0
    while at < len(body):
        stop = body.index(b"\r\n", at)
        size = int(body[at:stop], 16)
        parts.append(body[stop + 2 : stop + 2 + size])
        at = stop + 2 + size + 2
    return b"".join(parts)
