"""One TCP or TLS connection: who may use it, when it is dead, where its bytes go.

::

    NEW ──begin──▶ ACTIVE ──finish──▶ IDLE ──begin──▶ ACTIVE …
     │               │                  │
     └───────────────┴──────────────────┴── abort, or the peer went away ──▶ CLOSED

A connection carries one exchange at a time. While it is ACTIVE each socket read goes, in one plain
call, to the exchange's ``received``; the end of the connection goes to its ``lost``. While it is
IDLE nothing may come: a byte or an EOF then means that the peer gave up on it (a server's idle
timeout, or a 408 sent into the void), and it is dropped at once.
"""

from __future__ import annotations

import asyncio
import enum
import select
import socket
import sys
from collections.abc import Callable
from typing import Final, Protocol, cast

from kiroproxy.errors import InternalError, StaleConnectionError
from kiroproxy.net import FlowControl, disable_nagle
from kiroproxy.upstream.origin import Origin


class State(enum.IntEnum):
    NEW = 0
    ACTIVE = 1
    IDLE = 2
    CLOSED = 3


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.NEW: frozenset({State.ACTIVE, State.CLOSED}),
    State.ACTIVE: frozenset({State.IDLE, State.CLOSED}),
    State.IDLE: frozenset({State.ACTIVE, State.CLOSED}),
    State.CLOSED: frozenset(),
}

# As globals: a member asked of its class costs 0.2 µs on Python 3.11.
_NEW: Final = State.NEW
_ACTIVE: Final = State.ACTIVE
_IDLE: Final = State.IDLE
_CLOSED: Final = State.CLOSED


class Receiver(Protocol):
    """What an exchange offers to its connection."""

    def received(self, data: bytes) -> None:
        """One socket read. Must not raise."""

    def lost(self, cause: Exception | None) -> None:
        """The connection ended: ``None`` for a clean EOF. Must not raise.

        Called at most once, also when the exchange itself has just ended.
        """


class Connection(asyncio.Protocol):
    """Owns the transport. Everything here is called on the loop and never waits."""

    def __init__(self, origin: Origin, on_closed: Callable[[Connection], None]) -> None:
        self.origin = origin
        self.state = _NEW
        self.exchanges = 0
        self.idle_since_s = 0.0  # kept by the pool
        self.loop = asyncio.get_running_loop()  # kept: asking costs a system call each time
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._flow: FlowControl | None = None
        self._receiver: Receiver | None = None
        self._poller: select.poll | None = None

    # -- used by the pool and by exchanges

    @property
    def reused(self) -> bool:
        """Whether the current exchange is not the first one."""
        return self.exchanges > 1

    @property
    def unsent(self) -> bool:
        """Whether bytes of ours certainly have not reached the kernel yet.

        May say False too early (TLS buffers twice), never True too late.
        """
        return self._flow is not None and self._flow.write_paused

    def usable(self) -> bool:
        """Whether a new exchange may begin: new or idle, open, and when idle nothing to read.

        Asking the kernel closes the gap between the peer's FIN arriving and the loop telling us.
        Not on a new connection: there TLS 1.3 session tickets may wait, and they mean no harm.
        """
        transport = self._transport
        if _ACTIVE not in TRANSITIONS[self.state] or transport is None:
            return False
        if transport.is_closing():
            return False
        return self.state is _NEW or not self._is_readable(transport)

    def _is_readable(self, transport: asyncio.Transport) -> bool:
        """Whether the kernel holds bytes or an EOF for this socket: one poll, about 2 µs."""
        if self._poller is None:
            sock = transport.get_extra_info("socket")
            if sock is None or sock.fileno() < 0:
                return sock is not None
            if sys.platform == "win32":
                return bool(select.select([sock.fileno()], [], [], 0)[0])
            self._poller = select.poll()  # the descriptor is ours until the transport closes
            self._poller.register(sock.fileno(), select.POLLIN)
        return bool(self._poller.poll(0))

    def begin(self, request: list[bytes], receiver: Receiver, *, is_checked: bool = False) -> None:
        """Start an exchange: write ``request``, route reads to ``receiver``.

        ``is_checked``: ``usable`` was asked, and the loop has not run since. Raises
        StaleConnectionError, with nothing written, when the peer is already gone.
        """
        transport = self._transport
        if transport is None or not (is_checked or self.usable()):
            self.abort()
            raise StaleConnectionError(f"{self.origin.host} closed an idle connection")
        self._go(_ACTIVE)
        self.exchanges += 1
        self._receiver = receiver
        for data in request:  # not writelines: before Python 3.12 that joins, copying a big body
            transport.write(data)

    def finish(self) -> None:
        """The exchange is over and the message complete: the connection is idle again."""
        self._receiver = None
        self._go(_IDLE)
        self.resume_reading()

    def abort(self) -> None:
        """Close at once, without waiting for anything to be flushed. Idempotent.

        An exchange under way is told, unless it is the one that calls this.
        """
        if self.state is _CLOSED:
            return
        receiver, self._receiver = self._receiver, None
        self._go(_CLOSED)
        if self._transport is None:  # never connected: connection_lost will not come
            self._mark_closed()
        else:
            self._transport.abort()
        if receiver is not None:
            receiver.lost(ConnectionAbortedError())
        self._on_closed(self)

    def pause_reading(self) -> None:
        """Take nothing more from the socket; only within an exchange."""
        if self._flow is not None and self.state is _ACTIVE:
            self._flow.pause_reading()

    def resume_reading(self) -> None:
        if self._flow is not None and self.state is not _CLOSED:
            self._flow.resume_reading()

    # -- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.state is _CLOSED:  # given up while connecting
            self._transport.abort()
            return
        # With marks this low pause_writing/resume_writing tell exactly whether all was handed to
        # the kernel: what the stale retry (client.py) hangs on. 1, not 0: asyncio's TLS transport
        # compares with >= and would report an empty buffer as full.
        self._transport.set_write_buffer_limits(high=1, low=0)
        self._flow = FlowControl(self._transport)
        disable_nagle(self._transport)
        _keep_alive(self._transport)

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is not None:
            receiver.received(data)
        else:
            self.abort()

    def eof_received(self) -> None:
        self._lose(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc)
        self._mark_closed()

    def pause_writing(self) -> None:
        if self._flow is not None:
            self._flow.pause_writing()

    def resume_writing(self) -> None:
        if self._flow is not None:
            self._flow.resume_writing()

    # -- inside

    def _lose(self, cause: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(cause)
        self.abort()

    def _mark_closed(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def _go(self, state: State) -> None:
        if state not in TRANSITIONS[self.state]:
            raise InternalError(f"a connection went from {self.state.name} to {state.name}")
        self.state = state

    def __repr__(self) -> str:
        return f"<Connection {self.origin} {self.state.name} exchanges={self.exchanges}>"


def _keep_alive(transport: asyncio.Transport) -> None:
    """Let the kernel find out about a peer that vanished without a word."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
