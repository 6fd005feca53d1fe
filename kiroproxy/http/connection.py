"""One client connection: bytes in, requests out to handlers, one exchange at a time.

line.py has the socket's part, incoming.py a request until it is whole, exchange.py its answer, states.py
the table of the reading side; here they meet. A client that hangs up while its request is being answered
is gone, even if it only closed its sending side: the handler's task is cancelled at once. Clients of these
APIs do not half-close, and the other reading would keep the service working for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from kiroproxy.errors import Kind, KiroProxyError, RequestError
from kiroproxy.http.exchange import Exchange
from kiroproxy.http.head import RequestHead
from kiroproxy.http.incoming import Incoming
from kiroproxy.http.line import ClientLine
from kiroproxy.http.responses import CONTINUE
from kiroproxy.http.router import Handler
from kiroproxy.http.shared import Shared
from kiroproxy.http.states import (
    ACTIVE,
    ASKED,
    BEGUN,
    BODY,
    HEAD,
    IDLE,
    KEPT,
    LINGER,
    READING,
    Step,
)

__all__ = ["Connection", "Exchange"]

_log = logging.getLogger("kiroproxy.http")

_SLOW: Final = "the request's %s came too slowly"
_TURNS: Final = 16  # requests, of one connection, until others have their turn


class Connection(ClientLine):
    """The protocol object the event loop calls.

    Whatever belongs to one request is dropped with it: an idle connection is this object, its
    transport, flow control and one timer.
    """

    __slots__ = ("_ahead", "_exchange", "_incoming", "_task")

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._ahead = bytearray()  # came while another request was being answered
        # per request
        self._incoming: Incoming | None = None
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None

    # --- the event loop's calls ---

    def data_received(self, data: bytes) -> None:
        if self._ahead or self._state is ACTIVE:
            self._hold(data)
        elif self._state is LINGER:
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
        self._client_gone()
        self._drop_ahead()
        self._drop_request()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read_ahead()

    # --- reading ---

    def _read(self, data: bytes) -> None:
        """Take requests out of ``data`` until one is being answered; what is left waits. After a few that
        were answered on the spot (refusals) it waits for others to have their turn."""
        turns = _TURNS
        while data and self._state in READING:
            if self._state is IDLE:
                turns -= 1
                if turns < 0:
                    self._shared.loop.call_soon(self._read_ahead)
                    break
            incoming = self._incoming
            if incoming is not None and self._state is BODY:
                data = self._read_body(incoming, data)
            elif self._state is IDLE and self.flow.write_paused:
                break  # it does not read its last answer; no further one shall pile up
            else:
                data = self._read_head(data)
        if data:
            self._hold(data)

    def _read_head(self, data: bytes) -> bytes:
        incoming = self._incoming
        if incoming is None:
            incoming = self._incoming = Incoming(self._shared)
        try:
            found = incoming.read_head(data, is_known=self.is_known)
        except KiroProxyError as error:
            self._enter_head()
            return self._refuse(incoming, error)
        if found is not None:
            self._enter_head()
            return self._take_head(incoming, *found)
        if incoming.begun and self._enter_head():
            self._deadline.expire_in(self._shared.limits.head_timeout_s)
        return b""

    def _enter_head(self) -> bool:
        """Whether these were the request's first bytes."""
        if self._state is not IDLE:
            return False
        self._step(BEGUN)
        if self.is_known:
            self._shared.guests.work(self)
        return True

    def _take_head(self, incoming: Incoming, head: RequestHead, rest: bytes) -> bytes:
        """Decide on a whole head; returns what is left of the bytes behind it."""
        self._keep = self._keep and head.framing.keep_alive
        refusal = incoming.admit(head, self, self.peer, len(rest))
        if refusal is not None:
            return self._refuse(incoming, refusal)
        if head.is_whole(len(rest)):
            return self._take_whole(incoming, head, rest)
        if head.framing.expects_continue and not rest:
            if incoming.match.error is not None:
                return self._refuse(incoming, incoming.match.error)
            self.sent_bytes += len(CONTINUE)
            self.transport.write(CONTINUE)
        refusal = incoming.expect_body(head)
        if refusal is not None:
            return self._refuse(incoming, refusal)
        self._step(Step.BODY)
        self._deadline.expire_in(incoming.body_patience_s())
        return rest

    def _take_whole(self, incoming: Incoming, head: RequestHead, data: bytes) -> bytes:
        """As ``_read_body``, of a body that came with its head: it waits for nothing."""
        try:
            body = incoming.whole_body(head, data)
        except KiroProxyError as error:
            return self._refuse(incoming, incoming.match.error or error)
        self._answer(incoming, body)
        return data[head.body_bytes :]

    def _read_body(self, incoming: Incoming, data: bytes) -> bytes:
        try:
            rest = incoming.read_body(data)
        except KiroProxyError as error:
            return self._refuse(incoming, incoming.match.error or error)
        if rest is None:
            self._deadline.expire_in(incoming.body_patience_s())
            return b""
        self._answer(incoming, incoming.take_body())
        return rest

    # --- what came ahead ---

    def _hold(self, data: bytes) -> None:
        if self._state is ACTIVE or self._state is IDLE:
            if not self._shared.guests.take(len(data), is_known=self.is_known):
                self._drop_unheld()
                return
            self._ahead += data
            if not self.is_known:  # who asks ahead without end is never between two requests
                self._shared.guests.wait(self)
            if len(self._ahead) >= self._shared.limits.max_ahead_bytes:
                self.flow.pause_reading()

    def _read_ahead(self) -> None:
        """Go on with what came while the last request was being answered."""
        if self._ahead and self._state is IDLE and not self.flow.write_paused:
            data = bytes(self._ahead)
            self._drop_ahead()
            self.flow.resume_reading()
            self._read(data)

    def _drop_unheld(self) -> None:
        """There is no room for what came ahead. What comes behind a gap must never be read."""
        if self._state is IDLE:
            self.kill()
        self._keep = False
        self.flow.pause_reading()

    def _drop_ahead(self) -> None:
        self._shared.guests.give(len(self._ahead))
        self._ahead.clear()

    # --- answering ---

    def _answer(self, incoming: Incoming, body: bytes) -> None:
        """The request is complete."""
        match = incoming.match
        exchange = self._open(incoming, body)
        if not self.is_known:  # till now it waited: to send slowly what nobody reads keeps no place
            self._shared.guests.work(self)
        if match.handler is not None:
            task = self._shared.loop.create_task(self._run(match.handler, exchange))
            task.add_done_callback(self._task_broken)
            self._shared.tasks.add(task)
            self._task = task
            return
        if match.error is not None:
            self._shared.answerer.refuse(exchange.request, exchange, match.error, match.extra_lines)
        elif match.response is not None:
            exchange.send(match.response)
        self._complete()

    def _refuse(self, incoming: Incoming, error: KiroProxyError) -> bytes:
        """Answer a request that will not be read to its end, then listen no more."""
        self._keep = False
        exchange = self._open(incoming, b"")
        self._shared.answerer.refuse(exchange.request, exchange, error, incoming.match.extra_lines)
        self._listen_no_more()
        return b""

    def _open(self, incoming: Incoming, body: bytes) -> Exchange:
        request = incoming.request(body, self.peer)
        self._step(ASKED)
        self._deadline.never()
        match = incoming.match
        exchange = Exchange(self, request, match.params, self._shared.date, match.api)
        self._exchange = exchange
        return exchange

    async def _run(self, handler: Handler, exchange: Exchange) -> None:
        """One request's task. It goes on with the connection itself: a callback comes a turn of the loop
        later, when the next request is often here already and had to wait."""
        await self._shared.answerer.run(handler, exchange.request, exchange)
        if self._task is not None:
            self._task.remove_done_callback(self._task_broken)
            # What follows is no part of this request, nor are its log lines.
            self._shared.context.run(self._handled, self._task)

    def _task_broken(self, task: asyncio.Task[None]) -> None:
        """Of a task that did not get to its last lines: cancelled perhaps, even before its first step."""
        if not task.cancelled() and task.exception() is not None:
            _log.error("a request's task broke", exc_info=task.exception())
        self._handled(task)

    def _handled(self, task: asyncio.Task[None]) -> None:
        """The handler is through."""
        self._task = None
        self._shared.tasks.discard(task)
        if self._exchange is not None and not self._exchange.finished:
            self._exchange.abort()
        self._complete()
        self._read_ahead()
        self._shared.on_leave()

    def _complete(self) -> None:
        """The answer is out and its handler is through."""
        if self._state is not ACTIVE:
            return  # the connection has ended in the meantime
        if not self.must_close:
            self._drop_request()
            self._step(KEPT)
            if not (self.is_known and self.flow.write_paused):
                self._shared.guests.wait(self)
            self._deadline.expire_in(self._shared.limits.idle_timeout_s)
        elif self._ahead or self.flow.read_paused:
            self._listen_no_more()
        else:
            self._close()

    def _listen_no_more(self) -> None:
        """The last answer is out; the client may still be sending."""
        self._drop_request()
        self._drop_ahead()
        self._linger()

    def _drop_request(self) -> None:
        if self._incoming is not None:
            self._incoming.drop()
        self._incoming = self._exchange = None
        self.flow.clear_callbacks()

    def hold(self, size_bytes: int) -> None:
        """See ``Line``: for a request whose handler is at work, so it has shown the key where one is
        asked for."""
        if self._incoming is not None:
            self._incoming.hold(size_bytes, is_known=True)

    # --- ending ---

    def kill(self) -> None:
        """The server's patience is over."""
        self._client_gone()
        super().kill()

    def make_room(self) -> None:
        """As a line does; also in the middle of an answer, for a stranger who has asked for more ahead."""
        if self._state is ACTIVE:
            self.kill()
        else:
            super().make_room()

    def _client_gone(self) -> bool:
        """Whether somebody was waiting for an answer; its handler is cancelled then. What a handler
        still does after its answer is not the client's business."""
        exchange = self._exchange
        if exchange is None or exchange.finished:
            if self._state is HEAD or self._state is BODY:
                self._tell_gone("the connection of an unfinished request is gone")
            return False
        exchange.lose()
        self._tell_gone("the connection of an unfinished answer is gone", exchange.request.id)
        if self._task is not None:
            self._task.cancel()
        return True

    def _tell_gone(self, event: str, request_id: str = "") -> None:
        if _log.isEnabledFor(logging.DEBUG):
            unsent_bytes = self.transport.get_write_buffer_size()
            fields = {"peer": self.peer, "unsent_bytes": unsent_bytes, "request_id": request_id}
            _log.debug(event, extra={"fields": fields})

    def _on_deadline(self) -> None:
        if self._incoming is None or self._state not in (HEAD, BODY):
            super()._on_deadline()
            return
        late = "headers" if self._state is HEAD else "body"
        self._refuse(self._incoming, RequestError(_SLOW % late, kind=Kind.REQUEST_TIMEOUT))
