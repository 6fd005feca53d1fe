"""One client connection: bytes in, requests out to handlers, one exchange at a time.

The reading side is a table (TRANSITIONS) over these states; the answering side is exchange.py's.

* IDLE — between requests; no byte of the next one has come.
* HEAD, BODY — a request is coming in; each has its clock.
* ACTIVE — a request is being answered. Bytes that come meanwhile wait (pipelining), and when enough
  of them wait, reading stops. The state lasts until the answer is complete *and* its handler's task
  has ended, so that there is never more than one handler per connection.
* LINGER — the last answer is out, the sending side is shut; what still comes is dropped, until the
  client hangs up or the clock runs out.
* CLOSING — no more input; unsent bytes are leaving. CLOSED — asyncio has let go of the socket.

A client that hangs up while its request is ACTIVE is gone, even if it only closed its sending side:
the handler's task is cancelled at once. Clients of these APIs do not half-close, and the other
reading would keep the service working for nobody.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import math
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kiroproxy.errors import InternalError, Kind, KiroProxyError, RequestError
from kiroproxy.http.body import BodyReader, ChunkedBody, SizedBody
from kiroproxy.http.exchange import Exchange
from kiroproxy.http.head import CHUNKED, HeadReader, RequestHead
from kiroproxy.http.limits import HttpLimits
from kiroproxy.http.messages import Headers, Request, Response
from kiroproxy.http.responses import CONTINUE, DateLine
from kiroproxy.http.router import Handler, Match, Router
from kiroproxy.net import FlowControl, disable_nagle, peer_address

__all__ = ["TRANSITIONS", "Connection", "ErrorRenderer", "Exchange", "Shared", "State", "Step"]

_log = logging.getLogger("kiroproxy.http")

ErrorRenderer = Callable[[Request | None, KiroProxyError], Response]


class State(enum.Enum):
    """Of the reading side; see the module's docstring."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ACTIVE = "active"
    LINGER = "linger"
    CLOSING = "closing"
    CLOSED = "closed"


class Step(enum.Enum):
    """What can happen to a connection."""

    BYTES = "bytes"  # the first byte of a request
    BODY = "body"  # a head is complete, its body is not
    REQUEST = "request"  # a request is complete, or refused: it will be answered now
    KEEP = "keep"  # answered, the connection stays
    LINGER = "linger"  # answered for the last time, with input unread
    CLOSE = "close"  # no more input, flush and close
    LOST = "lost"  # asyncio says that the connection is over


TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    State.IDLE: {Step.BYTES: State.HEAD},
    State.HEAD: {Step.BODY: State.BODY, Step.REQUEST: State.ACTIVE},
    State.BODY: {Step.REQUEST: State.ACTIVE},
    State.ACTIVE: {Step.KEEP: State.IDLE, Step.LINGER: State.LINGER},
    State.LINGER: {},
    State.CLOSING: {},
    State.CLOSED: {},
}
"""A missing pair is a defect, except that CLOSE and LOST are always possible (``Connection._step``)."""

_READING: Final = frozenset({State.IDLE, State.HEAD, State.BODY})


@dataclass(slots=True, eq=False)
class Shared:
    """What all connections of one server have in common."""

    loop: asyncio.AbstractEventLoop
    router: Router
    limits: HttpLimits
    render_error: ErrorRenderer
    date: DateLine = field(default_factory=DateLine)
    connections: set[Connection] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    draining: bool = False
    on_idle: Callable[[], None] = lambda: None
    """Called when a connection or a task has left its set."""


class Connection(asyncio.Protocol):
    """The protocol object asyncio calls. Everything between requests is dropped or None: an idle
    connection is only this object, its transport and one timer."""

    __slots__ = (
        "_ahead",
        "_body",
        "_deadline_s",
        "_exchange",
        "_head",
        "_keep",
        "_match",
        "_reader",
        "_shared",
        "_stall_timer",
        "_stalled_at_bytes",
        "_state",
        "_task",
        "_timer",
        "flow",
        "peer",
        "sent_bytes",
        "transport",
    )

    transport: asyncio.Transport
    flow: FlowControl

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._state = State.IDLE
        self.peer = ""
        # per request
        self._reader: HeadReader | None = None
        self._head: RequestHead | None = None
        self._match: Match | None = None
        self._body: BodyReader | None = None
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        # per connection
        self._keep = True
        self._ahead = b""  # came while another request was being answered
        self.sent_bytes = 0
        # clocks
        self._deadline_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stalled_at_bytes = 0

    @property
    def state(self) -> State:
        """Of the reading side."""
        return self._state

    @property
    def must_close(self) -> bool:
        """The answer now being written is the last on this connection."""
        return not self._keep or self._shared.draining

    # --- asyncio's calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream server makes no other
        self.flow = FlowControl(self.transport)
        limits = self._shared.limits
        self.transport.set_write_buffer_limits(limits.write_high_bytes, limits.write_low_bytes)
        disable_nagle(transport)
        self.peer = peer_address(transport)
        self._shared.connections.add(self)
        self._expire_in(limits.idle_timeout_s)
        if self._shared.draining:  # it was in the backlog when the listener closed
            self._close()

    def data_received(self, data: bytes) -> None:
        if self._state is State.ACTIVE or self._ahead:
            self._hold(data)
        else:
            self._read(data)

    def eof_received(self) -> bool:
        if self._client_gone():
            self.transport.abort()
        else:
            self._close()
        return False  # asyncio closes as well, which does nothing any more

    def connection_lost(self, exc: Exception | None) -> None:
        self._step(Step.LOST)
        self._client_gone()
        for timer in (self._timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._stall_timer = None
        self._ahead = b""
        self._drop_request()
        self._shared.connections.discard(self)
        self._shared.on_idle()

    def pause_writing(self) -> None:
        self._watch_stall()
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        self.flow.resume_writing()
        if self._state is State.IDLE:
            self._read_ahead()

    # --- reading ---

    def _read(self, data: bytes) -> None:
        """Take requests out of ``data`` until one is being answered; what is left waits."""
        while data and self._state in _READING:
            if self._state is State.BODY:
                data = self._read_body(data)
            elif self._state is State.IDLE and self.flow.write_paused:
                break  # it does not read the last answer; it gets no further one to pile up
            else:
                data = self._read_head(data)
        if data and self._state in (State.ACTIVE, State.IDLE):
            self._hold(data)

    def _hold(self, data: bytes) -> None:
        if self._state in (State.ACTIVE, State.IDLE):
            self._ahead += data
            if len(self._ahead) >= self._shared.limits.max_ahead_bytes:
                self.flow.pause_reading()

    def _read_ahead(self) -> None:
        """Go on with what came while the last request was being answered."""
        if self._ahead and not self.flow.write_paused:
            data, self._ahead = self._ahead, b""
            self.flow.resume_reading()
            self._read(data)

    def _read_head(self, data: bytes) -> bytes:
        if self._reader is None:
            self._reader = HeadReader(self._shared.limits)
        try:
            found = self._reader.feed(data)
        except KiroProxyError as error:
            self._step_to_head()
            return self._refuse(error)
        if found is None:
            if not self._reader.empty:
                self._step_to_head()
            return b""
        self._step_to_head(clock=False)
        self._reader = None
        head, rest = found
        return self._head_complete(head, rest)

    def _step_to_head(self, clock: bool = True) -> None:
        if self._state is State.IDLE:
            self._step(Step.BYTES)
            if clock:  # a head that came whole needs none
                self._expire_in(self._shared.limits.head_timeout_s)

    def _head_complete(self, head: RequestHead, rest: bytes) -> bytes:
        self._head = head
        self._keep = self._keep and head.keep_alive
        match = self._shared.router.match(head.method, head.path, head.headers)
        self._match = match
        if head.problem is not None:
            return self._refuse(head.problem)
        if head.body_bytes == 0:
            self._answer(b"")
            return rest
        if head.expects_continue and not rest:
            if match.error is not None:
                return self._refuse(match.error)
            self.sent_bytes += len(CONTINUE)
            self.transport.write(CONTINUE)
        if head.body_bytes == CHUNKED:
            self._body = ChunkedBody(self._shared.limits.max_body_bytes)
        else:
            self._body = SizedBody(head.body_bytes)
        self._step(Step.BODY)
        self._expire_in(self._shared.limits.body_timeout_s)
        return rest

    def _read_body(self, data: bytes) -> bytes:
        body = self._body
        if body is None:  # BODY without a reader: _head_complete sets both
            raise InternalError("no body reader")
        try:
            rest = body.feed(data)
        except KiroProxyError as error:
            return self._refuse(error)
        if rest is None:
            self._expire_in(self._shared.limits.body_timeout_s)
            return b""
        self._body = None
        self._answer(body.take())
        return rest

    # --- answering ---

    def _answer(self, body: bytes) -> None:
        """The request is complete."""
        request = self._request(body)
        match = self._match or Match()
        exchange = self._open(request, match)
        if match.handler is not None:
            coroutine = self._run(match.handler, request, exchange)
            self._task = task = self._shared.loop.create_task(coroutine)
            self._shared.tasks.add(task)
            return
        if match.error is not None:
            self._send_error(request, exchange, match.error)
        elif match.response is not None:
            exchange.send(match.response)
        self._complete()

    def _refuse(self, error: KiroProxyError) -> bytes:
        """Answer a request that will not be read to its end, then listen no more."""
        self._keep = False
        request = self._request(b"")
        exchange = self._open(request, self._match or Match())
        self._send_error(request if self._head else None, exchange, error)
        self._step(Step.LINGER)
        self._linger()
        return b""

    def _request(self, body: bytes) -> Request:
        head = self._head
        request_id = f"req_{secrets.token_hex(12)}"
        if head is None:  # did not parse; the answer needs an id all the same
            return Request("", "", "", Headers(), b"", request_id, self.peer)
        return Request(
            head.method,
            head.path,
            head.query,
            head.headers,
            body,
            request_id,
            self.peer,
            head.http_version,
        )

    def _open(self, request: Request, match: Match) -> Exchange:
        self._step(Step.REQUEST)
        self._deadline_s = math.inf
        exchange = Exchange(self, request, match.params, self._shared.date, match.api)
        self._exchange = exchange
        return exchange

    async def _run(self, handler: Handler, request: Request, exchange: Exchange) -> None:
        """The task of one request."""
        try:
            response = await handler(request, exchange)
            self._settle(request, exchange, response)
        except asyncio.CancelledError:
            exchange.abort()
            raise
        except KiroProxyError as error:
            self._fail(request, exchange, error)
        except Exception as error:
            self._fail_unexpected(request, exchange, error)
        finally:
            self._task_done()

    def _settle(self, request: Request, exchange: Exchange, response: Response | None) -> None:
        if response is not None:
            exchange.send(response)
        elif not exchange.finished:
            raise InternalError("a handler returned without an answer")

    def _fail(self, request: Request, exchange: Exchange, error: KiroProxyError) -> None:
        if isinstance(error, InternalError):
            self._fail_unexpected(request, exchange, error)
        elif not exchange.started:
            self._send_error(request, exchange, error)
        elif not exchange.finished:
            _log.warning("answer cut short: %s", error.message, extra=_fields(request))
            exchange.abort()

    def _fail_unexpected(self, request: Request, exchange: Exchange, error: Exception) -> None:
        """A defect: the traceback is for the log, the client gets no details."""
        _log.error("unhandled error in a request", exc_info=error, extra=_fields(request))
        if not exchange.started:
            self._send_error(request, exchange, InternalError("internal error; see the log"))
        else:
            exchange.abort()

    def _send_error(
        self, request: Request | None, exchange: Exchange, error: KiroProxyError
    ) -> None:
        try:
            response = self._shared.render_error(request, error)
            exchange.send(response, self._match.extra_lines if self._match else b"")
        except Exception:
            _log.exception("an error could not be rendered")
            if not exchange.started:
                exchange.send(Response(500))

    def _task_done(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._shared.tasks.discard(task)
        self._complete()
        if self.state is State.IDLE:
            self._read_ahead()
        self._shared.on_idle()

    def _complete(self) -> None:
        """The answer is out and its handler is through."""
        if self._state is not State.ACTIVE:
            return  # the connection has ended in the meantime
        self._drop_request()
        if not self.must_close:
            self._step(Step.KEEP)
            self._expire_in(self._shared.limits.idle_timeout_s)
        elif self._ahead or self.flow.read_paused:
            self._step(Step.LINGER)
            self._linger()
        else:
            self._close()

    def _drop_request(self) -> None:
        self._reader = self._head = self._match = self._body = self._exchange = None
        self.flow.clear_callbacks()

    # --- ending ---

    def drain(self) -> None:
        """The server stops: leave now if idle, else after the answer."""
        if self._state is State.IDLE and not self._ahead:
            self._close()

    def kill(self) -> None:
        """The server's patience is over."""
        if self._task is not None:
            self._task.cancel()
        self.transport.abort()

    def stop_keeping(self) -> None:
        """The answer's end will be the connection's."""
        self._keep = False

    def cut(self, reset: bool) -> None:
        """Close in the middle of an answer."""
        self._keep = False
        if reset:
            _reset_on_close(self.transport)
            self.transport.abort()
        else:
            self._close()

    def _client_gone(self) -> bool:
        """Whether somebody was waiting for an answer; its handler is cancelled then. What a handler
        still does after its answer is not the client's business."""
        exchange = self._exchange
        if exchange is None or exchange.finished:
            return False
        exchange.lose()
        if self._task is not None:
            self._task.cancel()
        return True

    def _linger(self) -> None:
        """Shut the sending side and wait for the client to hang up; see ``HttpLimits.linger_s``."""
        self._drop_request()
        self._ahead = b""
        self.flow.resume_reading()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self._expire_in(self._shared.limits.linger_s)

    def _close(self) -> None:
        """Flush and close; a client that does not take the rest is cut off after a while."""
        if self._state not in (State.CLOSING, State.CLOSED):
            self._step(Step.CLOSE)
            self.transport.close()
            self._expire_in(self._shared.limits.write_stall_s)

    # --- clocks ---

    def _expire_in(self, seconds: float) -> None:
        """Set the state's deadline. The timer is moved only if it would be late: most deadlines are
        never reached, and moving one is two heap operations."""
        loop = self._shared.loop
        self._deadline_s = deadline_s = loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= deadline_s:
                return
            self._timer.cancel()
        self._timer = loop.call_at(deadline_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline_s > self._shared.loop.time():
            if self._deadline_s != math.inf:
                self._timer = self._shared.loop.call_at(self._deadline_s, self._on_timer)
            return
        self._deadline_s = math.inf
        if self._state is State.IDLE:
            self._close()
        elif self._state in (State.HEAD, State.BODY):
            part = "headers" if self._state is State.HEAD else "body"
            self._refuse(RequestError(_SLOW % part, kind=Kind.REQUEST_TIMEOUT))
        else:
            self.transport.abort()

    def _watch_stall(self) -> None:
        self._stalled_at_bytes = self._taken_bytes()
        self._stall_timer = self._shared.loop.call_later(
            self._shared.limits.write_stall_s, self._on_stall
        )

    def _on_stall(self) -> None:
        """The buffer has been over its mark for a whole period: did the client take anything?"""
        if self._taken_bytes() > self._stalled_at_bytes:
            self._watch_stall()
            return
        self._stall_timer = None
        _log.warning("a client does not read its answer, connection cut", extra=self._fields())
        self.transport.abort()

    def _taken_bytes(self) -> int:
        return self.sent_bytes - self.transport.get_write_buffer_size()

    def _fields(self) -> dict[str, dict[str, str]]:
        return {"fields": {"peer": self.peer}}

    def _step(self, step: Step) -> None:
        if step is Step.LOST:
            self._state = State.CLOSED
        elif step is Step.CLOSE:
            self._state = State.CLOSING
        else:
            self._state = TRANSITIONS[self._state][step]


_SLOW: Final = "the request's %s came too slowly"


def _fields(request: Request) -> dict[str, dict[str, str]]:
    """What a log line needs to find the request; the query stays out, it may hold a key."""
    return {"fields": {"request_id": request.id, "method": request.method, "path": request.path}}


def _reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Make the coming close a TCP reset (SO_LINGER with a time of zero)."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
