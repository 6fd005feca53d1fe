"""One client connection: bytes in, requests out to handlers, one exchange at a time.

states.py has the reading side's table, exchange.py the answering side. A client that hangs up while
its request is being answered is gone, even if it only closed its sending side: the handler's task is
cancelled at once. Clients of these APIs do not half-close, and the other reading would keep the
service working for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Final

from kiroproxy.errors import Kind, KiroProxyError, RequestError
from kiroproxy.http.body import BodyReader, ChunkedBody, SizedBody, too_large
from kiroproxy.http.clocks import Deadline, StallWatch
from kiroproxy.http.exchange import Exchange
from kiroproxy.http.guests import neighbourhood
from kiroproxy.http.head import CHUNKED, HeadReader, RequestHead
from kiroproxy.http.messages import Headers, Request
from kiroproxy.http.responses import CONTINUE
from kiroproxy.http.router import Match
from kiroproxy.http.shared import Shared
from kiroproxy.http.states import READING, TRANSITIONS, State, Step
from kiroproxy.net import FlowControl, disable_nagle, peer_address, peer_host, reset_on_close

__all__ = ["Connection", "Exchange"]

_log = logging.getLogger("kiroproxy.http")

_SLOW: Final = "the request's %s came too slowly"
_NO_MATCH: Final = Match()
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_RETRY_AFTER_S: Final = 5.0
_TURNS: Final = 16  # requests, of one connection, until others have their turn


def _crowded() -> RequestError:
    return RequestError(
        "the server holds as much of requests as it may at present; try again",
        kind=Kind.OVERLOADED,
        retry_after_s=_RETRY_AFTER_S,
    )


class Connection(asyncio.Protocol):
    """The protocol object the event loop calls.

    Whatever belongs to one request is dropped with it: an idle connection is this object, its
    transport, flow control and one timer.
    """

    __slots__ = (
        "_ahead",
        "_body",
        "_body_bytes",
        "_body_from_s",
        "_deadline",
        "_exchange",
        "_head",
        "_held_bytes",
        "_keep",
        "_linger_end_s",
        "_linger_left_bytes",
        "_match",
        "_peer",
        "_reader",
        "_shared",
        "_stall",
        "_state",
        "_task",
        "flow",
        "host",
        "is_known",
        "sent_bytes",
        "transport",
    )

    transport: asyncio.Transport
    flow: FlowControl

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._state = State.IDLE
        self._keep = True
        self._ahead = bytearray()  # came while another request was being answered
        self._deadline = Deadline(shared.loop, self._on_deadline)
        self._stall: StallWatch | None = None
        self._linger_end_s = 0.0
        self._linger_left_bytes = 0
        self._peer: str | None = None
        self.sent_bytes = 0
        self.host = ""
        self.is_known = False
        # per request
        self._held_bytes = 0  # of it, in memory
        self._body_bytes = 0  # that have come, and since when
        self._body_from_s = 0.0
        self._reader: HeadReader | None = None
        self._head: RequestHead | None = None
        self._match: Match = _NO_MATCH
        self._body: BodyReader | None = None
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """Of the reading side."""
        return self._state

    @property
    def must_close(self) -> bool:
        """The answer now being written is the last on this connection."""
        return not self._keep or self._shared.draining

    # --- the event loop's calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream server makes no other
        self.flow = FlowControl(self.transport)
        limits = self._shared.limits
        self.transport.set_write_buffer_limits(limits.write_high_bytes, limits.write_low_bytes)
        disable_nagle(transport)
        self._shared.connections.add(self)
        self.host = neighbourhood(peer_host(transport))
        if not self._shared.guests.enter(self):
            self._say_full()
            self._step(Step.CLOSE)
            self.transport.abort()
            return
        self._deadline.expire_in(limits.idle_timeout_s)
        if self._shared.draining:  # it was in the backlog when the listener closed
            self._close()

    def _say_full(self) -> None:
        if self._shared.full_lines.left_out() is not None:
            fields = {"fields": {"connections": len(self._shared.guests)}}
            _log.warning("no room for a connection: none of them is idle", extra=fields)

    def data_received(self, data: bytes) -> None:
        if self._ahead or self._state is State.ACTIVE:
            self._hold(data)
        elif self._state is State.LINGER:
            self._still_coming(len(data))
        else:
            self._read(data)

    def eof_received(self) -> bool:
        if self._client_gone():
            self.transport.abort()
        else:
            self._close()
        return False  # the loop closes as well, which does nothing any more

    def connection_lost(self, exc: Exception | None) -> None:
        self._step(Step.LOST)
        self._client_gone()
        self._deadline.cancel()
        self._stop_stall_watch()
        self._drop_ahead()
        self._drop_request()
        self._shared.guests.leave(self)
        self._shared.connections.discard(self)
        self._shared.on_leave()

    def pause_writing(self) -> None:
        self._stall = StallWatch(
            self._shared.loop,
            self._shared.limits.write_stall_s,
            self._shared.limits.read_rate_bytes_s,
            self._taken_bytes,
            self._on_stall,
        )
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self._stop_stall_watch()
        self.flow.resume_writing()
        if self._state is State.IDLE:
            self._shared.guests.wait(self)
        self._read_ahead()

    # --- reading ---

    def _read(self, data: bytes) -> None:
        """Take requests out of ``data`` until one is being answered; what is left waits. After a few that
        were answered on the spot (refusals) it waits for others to have their turn."""
        turns = _TURNS
        while data and self._state in READING:
            if self._state is State.IDLE:
                turns -= 1
                if turns < 0:
                    self._shared.loop.call_soon(self._read_ahead)
                    break
            if self._state is State.BODY:
                data = self._read_body(data)
            elif self._state is State.IDLE and self.flow.write_paused:
                break  # it does not read its last answer; no further one shall pile up
            else:
                data = self._read_head(data)
        if data:
            self._hold(data)

    def _hold(self, data: bytes) -> None:
        if self._state is State.ACTIVE or self._state is State.IDLE:
            if not self._shared.guests.take(len(data)):
                self._drop_unheld()
                return
            self._ahead += data
            if len(self._ahead) >= self._shared.limits.max_ahead_bytes:
                self.flow.pause_reading()

    def _read_ahead(self) -> None:
        """Go on with what came while the last request was being answered."""
        if self._ahead and self._state is State.IDLE and not self.flow.write_paused:
            data = bytes(self._ahead)
            self._drop_ahead()
            self.flow.resume_reading()
            self._read(data)

    def _read_head(self, data: bytes) -> bytes:
        if self._reader is None:
            self._reader = HeadReader(self._shared.limits)
        try:
            found = self._reader.feed(data)
        except KiroProxyError as error:
            self._enter_head()
            return self._refuse(error)
        if found is not None:
            self._enter_head()
            self._reader = None
            return self._take_head(*found)
        if not self._reader.empty:
            if self._enter_head():
                self._deadline.expire_in(self._shared.limits.head_timeout_s)
            if not self._hold_bytes(len(data)):
                return self._refuse(_crowded())
        return b""

    def _enter_head(self) -> bool:
        """Whether these were the request's first bytes."""
        if self._state is not State.IDLE:
            return False
        self._step(Step.BYTES)
        if self.is_known:
            self._shared.guests.work(self)
        return True

    def _take_head(self, head: RequestHead, rest: bytes) -> bytes:
        """Decide on a whole head; returns what is left of the bytes behind it."""
        self._head = head
        self._keep = self._keep and head.keep_alive
        self._match = self._shared.router.match(head.method, head.path, head.headers)
        is_whole = head.body_bytes != CHUNKED and head.body_bytes <= len(rest)
        was_known = self.is_known
        denied = self._maybe_denied(is_whole)
        if not was_known:
            self._shared.guests.work(self)
        if denied is not None:
            if not is_whole:
                return self._refuse(denied)
            self._match.handler, self._match.error = None, denied
        if head.problem is not None:
            return self._refuse(head.problem)
        if head.body_bytes == 0:
            self._answer(b"")
            return rest
        if head.expects_continue and not rest:
            if self._match.error is not None:
                return self._refuse(self._match.error)
            self.sent_bytes += len(CONTINUE)
            self.transport.write(CONTINUE)
        limits = self._shared.limits
        keeps = self._match.handler is not None and head.method in _WITH_BODY
        most_bytes = limits.max_body_bytes if keeps else limits.max_dropped_bytes
        if head.body_bytes > most_bytes:
            return self._refuse(self._match.error or too_large(most_bytes))
        chunked = head.body_bytes == CHUNKED
        self._body = (
            ChunkedBody(most_bytes, keeps=keeps)
            if chunked
            else SizedBody(head.body_bytes, keeps=keeps)
        )
        self._step(Step.BODY)
        self._body_bytes = 0
        self._body_from_s = self._shared.loop.time()
        self._await_body()
        return rest

    def _maybe_denied(self, is_whole: bool) -> KiroProxyError | None:
        """Why the route does not let the request in: asked before a body is waited for and kept. Of a
        request that is here as a whole it is asked once a connection, for its handler asks as well."""
        check = self._match.check
        if check is None or (is_whole and self.is_known):
            return None
        try:
            check(self._request(b""))
        except KiroProxyError as error:
            return error
        self._shared.guests.know(self)
        return None

    def _read_body(self, data: bytes) -> bytes:
        body = self._body
        if body is not None and body.keeps and not self._hold_bytes(len(data)):
            return self._refuse(_crowded())
        try:
            rest = body.feed(data) if body else data
        except KiroProxyError as error:
            return self._refuse(self._match.error or error)
        if rest is None:
            self._body_bytes += len(data)
            self._await_body()
            return b""
        self._body = None
        self._answer(body.take() if body else b"")
        return rest

    def _await_body(self) -> None:
        """The next piece has its time, and all of them together have no more than their number allows."""
        limits = self._shared.limits
        spent_s = self._shared.loop.time() - self._body_from_s
        ahead_s = self._body_bytes / limits.body_rate_bytes_s - spent_s
        self._deadline.expire_in(max(0.0, limits.body_timeout_s + min(0.0, ahead_s)))

    # --- what is held of requests ---

    def _hold_bytes(self, size: int) -> bool:
        """Whether there is room for so much of the present request."""
        if not self._shared.guests.take(size):
            return False
        self._held_bytes += size
        return True

    def _drop_unheld(self) -> None:
        """There is no room for what came ahead. What comes behind a gap must never be read."""
        if self._state is State.IDLE:
            self.kill()
        self._keep = False
        self.flow.pause_reading()

    def _drop_ahead(self) -> None:
        self._shared.guests.give(len(self._ahead))
        self._ahead.clear()

    # --- answering ---

    def _answer(self, body: bytes) -> None:
        """The request is complete."""
        request = self._request(body)
        match = self._match
        exchange = self._open(request)
        if match.handler is not None:
            coroutine = self._shared.answerer.run(match.handler, request, exchange)
            self._task = self._shared.loop.create_task(coroutine)
            self._task.add_done_callback(self._task_done)
            self._shared.tasks.add(self._task)
            return
        if match.error is not None:
            self._shared.answerer.refuse(request, exchange, match.error, match.extra_lines)
        elif match.response is not None:
            exchange.send(match.response)
        self._complete()

    def _refuse(self, error: KiroProxyError) -> bytes:
        """Answer a request that will not be read to its end, then listen no more."""
        self._keep = False
        request = self._request(b"")
        exchange = self._open(request)
        self._shared.answerer.refuse(request, exchange, error, self._match.extra_lines)
        self._linger()
        return b""

    def _request(self, body: bytes) -> Request:
        request_id = f"req_{secrets.token_hex(12)}"
        if self._peer is None:
            self._peer = peer_address(self.transport)
        peer = self._peer
        if self._head is None:  # did not parse; the answer needs an id all the same
            return Request("", "", "", Headers(), b"", request_id, peer)
        return self._head.to_request(body, request_id, peer)

    def _open(self, request: Request) -> Exchange:
        self._step(Step.REQUEST)
        self._deadline.never()
        match = self._match
        exchange = Exchange(self, request, match.params, self._shared.date, match.api)
        self._exchange = exchange
        return exchange

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """A callback and not the task's own last lines: a task that is cancelled before its first
        step never gets to those."""
        self._task = None
        self._shared.tasks.discard(task)
        if self._exchange is not None and not self._exchange.finished:
            self._exchange.abort()
        if not task.cancelled() and task.exception() is not None:
            _log.error("a request's task broke", exc_info=task.exception())
        self._complete()
        self._read_ahead()
        self._shared.on_leave()

    def _complete(self) -> None:
        """The answer is out and its handler is through."""
        if self._state is not State.ACTIVE:
            return  # the connection has ended in the meantime
        if not self.must_close:
            self._drop_request()
            self._step(Step.KEEP)
            if not self.flow.write_paused:
                self._shared.guests.wait(self)
            self._deadline.expire_in(self._shared.limits.idle_timeout_s)
        elif self._ahead or self.flow.read_paused:
            self._linger()
        else:
            self._close()

    def _drop_request(self) -> None:
        self._shared.guests.give(self._held_bytes)
        self._held_bytes = 0
        self._reader = self._head = self._body = self._exchange = None
        self._match = _NO_MATCH
        self.flow.clear_callbacks()

    # --- ending ---

    def drain(self) -> None:
        """The server stops: leave now if idle, else after the answer."""
        if self._state is State.IDLE:
            self._close()

    def kill(self) -> None:
        """The server's patience is over."""
        self._client_gone()
        self.transport.abort()

    def make_room(self) -> None:
        """Somebody else needs the place, and this connection only waits."""
        self._close()

    def stop_keeping(self) -> None:
        """The answer's end will be the connection's."""
        self._keep = False

    def cut(self, reset: bool) -> None:
        """Close in the middle of an answer; ``reset``: so that it cannot be taken for its end."""
        self._keep = False
        if reset:
            reset_on_close(self.transport)
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
        self._step(Step.LINGER)
        self._shared.guests.wait(self)
        self._drop_ahead()
        self.flow.resume_reading()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self._linger_left_bytes = self._shared.limits.linger_bytes
        self._linger_end_s = self._shared.loop.time() + self._shared.limits.linger_total_s
        self._deadline.expire_in(self._shared.limits.linger_s)

    def _still_coming(self, size: int) -> None:
        """Bytes to drop: the client is still busy sending what nobody reads."""
        self._linger_left_bytes -= size
        if self._linger_left_bytes < 0:
            self.transport.abort()
        elif self._shared.loop.time() < self._linger_end_s:
            self._deadline.expire_in(self._shared.limits.linger_s)

    def _close(self) -> None:
        """Flush and close; a client that does not take the rest is cut off after a while."""
        if self._state not in (State.CLOSING, State.CLOSED):
            self._step(Step.CLOSE)
            self.transport.close()
            self._deadline.expire_in(self._shared.limits.write_stall_s)

    # --- clocks ---

    def _on_deadline(self) -> None:
        if self._state is State.IDLE:
            self._close()
        elif self._state is State.HEAD:
            self._refuse(RequestError(_SLOW % "headers", kind=Kind.REQUEST_TIMEOUT))
        elif self._state is State.BODY:
            self._refuse(RequestError(_SLOW % "body", kind=Kind.REQUEST_TIMEOUT))
        else:
            self.transport.abort()

    def _on_stall(self) -> None:
        fields = {"fields": {"peer": peer_address(self.transport)}}
        _log.warning(
            "a client does not read its answer, or too slowly, connection cut", extra=fields
        )
        self.transport.abort()

    def _stop_stall_watch(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _taken_bytes(self) -> int:
        return self.sent_bytes - self.transport.get_write_buffer_size()

    def _step(self, step: Step) -> None:
        self._state = TRANSITIONS[self._state][step]
