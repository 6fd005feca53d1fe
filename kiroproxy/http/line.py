"""One client's line: the socket, its clocks, its place among the others, and every way it ends.

What is said on it, requests and answers, is connection.py's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kiroproxy.http.clocks import Deadline, StallWatch
from kiroproxy.http.guests import neighbourhood
from kiroproxy.http.states import TRANSITIONS, State, Step
from kiroproxy.net import FlowControl, disable_nagle, peer_address, peer_host, reset_on_close

if TYPE_CHECKING:
    from kiroproxy.http.shared import Shared

_log = logging.getLogger("kiroproxy.http")


class ClientLine(asyncio.Protocol):
    """What ``Connection`` stands on. A base and no part of it: the loop and the exchanges reach all of
    this in one step."""

    __slots__ = (
        "_deadline",
        "_keep",
        "_linger_end_s",
        "_linger_left_bytes",
        "_shared",
        "_stall",
        "_state",
        "flow",
        "host",
        "is_known",
        "peer",
        "sent_bytes",
        "transport",
    )

    transport: asyncio.Transport
    flow: FlowControl

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._state = State.IDLE
        self._keep = True
        self._deadline = Deadline(shared.loop, self._on_deadline)
        self._stall: StallWatch | None = None
        self._linger_end_s = 0.0
        self._linger_left_bytes = 0
        self.sent_bytes = 0
        self.host = ""
        self.peer = ""  # host:port
        self.is_known = False

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
        self.peer = peer_address(transport)
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

    def connection_lost(self, exc: Exception | None) -> None:
        self._step(Step.LOST)
        self._deadline.cancel()
        self._stop_stall_watch()
        self._shared.guests.leave(self)
        self._shared.connections.discard(self)
        self._shared.on_leave()

    def pause_writing(self) -> None:
        if self._stall is not None:
            self._stall.go_on()
        else:
            self._stall = StallWatch(
                self._shared.loop,
                self._shared.limits.write_stall_s,
                self._shared.limits.read_rate_bytes_s,
                self._taken_bytes,
                self._on_stall,
            )
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.rest()
        self.flow.resume_writing()
        if self._state is State.IDLE:
            self._shared.guests.wait(self)

    # --- ending ---

    def drain(self) -> None:
        """The server stops: leave now if idle, else after the answer."""
        if self._state is State.IDLE:
            self._close()

    def kill(self) -> None:
        """The server's patience is over."""
        self.transport.abort()

    def make_room(self) -> None:
        """Somebody else needs the place, and this connection only waits. For a stranger to read what it
        has asked for nobody waits: closed only, it would keep its socket until then."""
        if not self.is_known and self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
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

    def _linger(self) -> None:
        """Shut the sending side and wait for the client to hang up; see ``HttpLimits.linger_s``."""
        self._step(Step.LINGER)
        self._shared.guests.wait(self)
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
            if not self.is_known:
                self._shared.guests.wait(self)
            self._deadline.expire_in(self._shared.limits.write_stall_s)

    # --- clocks ---

    def _on_deadline(self) -> None:
        if self._state is State.IDLE:
            self._close()
        else:
            self.transport.abort()

    def _on_stall(self) -> None:
        fields = {"fields": {"peer": self.peer}}
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
