"""One answer on its way out. The reading side is connection.py's.

::

    OPEN ──start──▶ STREAMING ──end──▶ ENDED
      ├────────────send (whole)───────▶ ENDED
      ├─abort─▶ ABORTED ◀─abort─┤
      └─client gone─▶ GONE ◀────┘       writing is then without effect, never an error

Chunks are framed by hand: h11's ``send(Data)`` costs six times as much (bench/test_bench_http.py).
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from kiroproxy.errors import InternalError
from kiroproxy.http.messages import RawHeader, Request, Response
from kiroproxy.http.responses import BODILESS, DateLine, encode_head
from kiroproxy.http.router import CORS_LINES
from kiroproxy.net import FlowControl

#: A body up to this size leaves in one write with its head; a larger one is not copied for that.
_JOINED_BYTES: Final = 64 * 1024
_LAST_CHUNK: Final = b"0\r\n\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"


class ExchangeState(enum.Enum):
    """See the diagram above."""

    OPEN = "open"
    STREAMING = "streaming"
    ENDED = "ended"
    ABORTED = "aborted"
    GONE = "gone"


# As globals: to look a member up in its enum costs fifteen times as much on Python 3.11, and this is asked
# with each write.
_OPEN: Final = ExchangeState.OPEN
_STREAMING: Final = ExchangeState.STREAMING
_ENDED: Final = ExchangeState.ENDED
_ABORTED: Final = ExchangeState.ABORTED
_GONE: Final = ExchangeState.GONE


class Line(Protocol):
    """What an exchange asks of its connection."""

    transport: asyncio.Transport
    flow: FlowControl
    sent_bytes: int
    """All bytes ever handed to the transport; the stall watch compares."""

    @property
    def must_close(self) -> bool:
        """Whether the answer has to announce the end of the connection."""

    def stop_keeping(self) -> None:
        """The connection cannot be used again after this exchange."""

    def hold(self, size_bytes: int) -> None:
        """More of the memory for requests, until this one is answered. Raises RequestError."""

    def cut(self, reset: bool) -> None:
        """Close now; ``reset``: in a way that cannot be taken for a proper end."""


class Exchange:
    """The answering side of one request; given to the handler.

    ``params``: values of the route's ``{name}`` segments. Everything here is synchronous and never
    waits: producers heed ``set_flow_callbacks`` or ``write_paused``.
    """

    __slots__ = (
        "_api",
        "_chunked",
        "_date",
        "_line",
        "_silent",
        "_state",
        "_write",
        "params",
        "request",
    )

    def __init__(
        self, line: Line, request: Request, params: dict[str, str], date: DateLine, api: bool
    ) -> None:
        self.request = request
        self.params = params
        self._line = line
        self._date = date
        self._api = api
        self._silent = request.method == "HEAD"
        self._chunked = request.http_version != "1.0"
        self._state = _OPEN
        self._write = line.transport.write

    @property
    def started(self) -> bool:
        """The status is out and cannot be changed any more."""
        return self._state is not _OPEN

    @property
    def finished(self) -> bool:
        """Nothing more can be written: ended, aborted, or the client is gone."""
        return self._state is not _OPEN and self._state is not _STREAMING

    @property
    def write_paused(self) -> bool:
        """The client reads more slowly than we write."""
        return self._line.flow.write_paused

    def hold(self, size_bytes: int) -> None:
        """Count so many bytes more as held by this request, until it is answered. Raises RequestError
        (OVERLOADED) when all requests together would hold too much."""
        if self._state is _OPEN or self._state is _STREAMING:  # else it has been given back
            self._line.hold(size_bytes)

    def set_flow_callbacks(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """Called when unsent bytes go over and under their marks; ``pause`` at once if they are."""
        if not self.finished:
            self._line.flow.set_callbacks(pause, resume)

    def start(self, status: int, headers: Iterable[RawHeader], data: bytes = b"") -> None:
        """The head and, in the same write, the first piece of the body."""
        if not self._may(_OPEN, "start"):
            return
        if not self._chunked:
            self._line.stop_keeping()
        framing = _CHUNKED if self._chunked else b""
        head = self._head(status, headers, framing)
        self._state = _STREAMING
        self._send(head + self._frame(data))

    def write(self, data: bytes) -> None:
        """One piece: one chunk, one write to the transport."""
        if self._state is not _STREAMING:
            self._may(_STREAMING, "write")
        elif data and not self._silent:
            # _send(_frame()) unrolled: this is the hot path, and calls cost more than the framing
            if self._chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            self._line.sent_bytes += len(data)
            self._write(data)

    def end(self, data: bytes = b"") -> None:
        """The last piece and the proper end of the message, in one write."""
        if not self._may(_STREAMING, "end"):
            return
        last = self._frame(data)
        if self._chunked and not self._silent:
            last += _LAST_CHUNK
        self._state = _ENDED
        self._send(last)

    def send(self, response: Response, extra_lines: bytes = b"") -> None:
        """A whole answer. ``extra_lines``: whole header lines, sent as they are."""
        if self._state is not _OPEN and not self._may(_OPEN, "send"):
            return
        body = response.body
        bodiless = response.status in BODILESS
        framing = b"" if bodiless else b"content-length: %d\r\n" % len(body)
        head = self._head(response.status, response.headers, framing + extra_lines)
        self._state = _ENDED
        if bodiless or self._silent:
            self._send(head)
        elif len(body) <= _JOINED_BYTES:
            self._send(head + body)
        else:
            self._send(head)
            self._send(body)

    def abort(self) -> None:
        """Close without the end of the message, so that nobody takes it for whole. Idempotent."""
        if self.finished:
            return
        # Without chunks the end of the connection *is* the proper end; only a reset says otherwise.
        ambiguous = self._state is _STREAMING and not self._chunked
        self._state = _ABORTED
        self._line.cut(reset=ambiguous)

    def lose(self) -> None:
        """The client went away (the connection calls this). What is written now goes nowhere."""
        if not self.finished:
            self._state = _GONE

    def _may(self, needed: ExchangeState, verb: str) -> bool:
        """False when the client is gone. Raises InternalError when the order of calls is wrong."""
        if self._state is needed:
            return True
        if self._state in (_GONE, _ABORTED):
            return False
        raise InternalError(f"{verb}() on an exchange that is {self._state.value}")

    def _head(self, status: int, headers: Iterable[RawHeader], framing: bytes) -> bytes:
        request_id = self.request.id.encode("ascii")
        return encode_head(
            status,
            headers,
            framing,
            self._date.current(),
            b"request-id: %b\r\nx-request-id: %b\r\n" % (request_id, request_id),
            CORS_LINES if self._api else b"",
            b"connection: close\r\n" if self._line.must_close else b"",
        )

    def _frame(self, data: bytes) -> bytes:
        if not data or self._silent:  # an empty chunk would be the last one
            return b""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _send(self, data: bytes) -> None:
        if data:
            self._line.sent_bytes += len(data)
            self._write(data)
