"""Kept connections: who gets which, how many there are, when an idle one is closed.

Deciding is apart from doing: ``decide`` looks at four counts and says what happens to one request
for a connection; ``Pool`` does it. The cases, in the order they are tried:

1. An idle connection to the origin is there: the most recently used one (its peer is the least
   likely to have timed out, and the others get to expire).
2. There is room under both limits: a new connection.
3. There is no room, but an idle connection stands in the way: the least recently used one is closed
   (one of this origin's when this origin is full), and a new one opened in its place.
4. All are in use: the request waits, first come first served. A waiter whose origin is full does not
   hold up the others.

A request that must have a ``fresh`` connection skips case 1.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from kiroproxy.clock import Clock
from kiroproxy.errors import ConnectError
from kiroproxy.upstream.connection import Connection, State
from kiroproxy.upstream.origin import Origin

_log = logging.getLogger("kiroproxy.upstream")
_IDLE: Final = State.IDLE  # asked of its class it costs 0.2 µs on Python 3.11


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """``idle_expiry_s`` stands below the 60 s after which AWS load balancers close idle connections
    by default: the proxy should be the one who closes."""

    total: int = 2048
    per_origin: int = 1024
    idle: int = 64
    idle_expiry_s: float = 50.0


class Choice(enum.Enum):
    REUSE = "reuse"
    OPEN = "open"
    EVICT_HERE = "evict here"
    EVICT_ANY = "evict any"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Census:
    """Connections as one origin sees them; ``open`` counts idle, active and connecting ones."""

    idle_here: int
    open_here: int
    idle_total: int
    open_total: int


def decide(census: Census, limits: PoolLimits, *, fresh: bool = False) -> Choice:
    """What happens to one request for a connection; the numbers are those of the module's text."""
    if census.idle_here and not fresh:
        return Choice.REUSE  # 1
    if census.open_here >= limits.per_origin:
        return Choice.EVICT_HERE if census.idle_here else Choice.WAIT  # 3, 4
    if census.open_total >= limits.total:
        return Choice.EVICT_ANY if census.idle_total else Choice.WAIT  # 3, 4
    return Choice.OPEN  # 2


@dataclass(slots=True, eq=False)
class _Waiter:
    """``granted`` gives a connection to reuse, or None: a place is reserved, open one yourself."""

    origin: Origin
    fresh: bool
    granted: asyncio.Future[Connection | None]


class Pool:
    """Leases connections: ``acquire``, then either ``release`` or the connection closes."""

    def __init__(
        self,
        limits: PoolLimits,
        clock: Clock,
        opener: Callable[[Origin, Callable[[Connection], None]], Awaitable[Connection]],
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._opener = opener
        self._open: Counter[Origin] = Counter()  # idle, active, connecting
        self._all: set[Connection] = set()  # without those still connecting
        self._idle: dict[Connection, None] = {}  # least recently used first
        # Also an empty one, as long as its origin has any connection.
        self._idle_by_origin: dict[Origin, dict[Connection, None]] = {}
        self._waiters: dict[_Waiter, None] = {}  # first come first
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection that is usable at this very moment, if there is one; waits for nothing."""
        while not self._is_closed and (here := self._idle_by_origin.get(origin)):
            connection = self._take_idle(here)
            if connection is not None:
                return connection
        return None

    async def acquire(self, origin: Origin, *, fresh: bool = False) -> Connection:
        """A usable connection to ``origin``, idle or new. Raises ConnectError.

        Waits as long as the limits demand; cancelling gives everything back.
        """
        if self._is_closed:
            raise _shut_down()
        granted = self._try(origin, fresh)
        if granted is Choice.WAIT:
            granted = await self._wait(_Waiter(origin, fresh, _new_future()))
        if isinstance(granted, Connection):
            return granted
        return await self._open_one(origin)

    def release(self, connection: Connection) -> None:
        """An exchange ended well: keep the connection for the next one."""
        if self._is_closed or connection.state is not _IDLE:
            connection.abort()
            return
        connection.idle_since_s = self._clock.monotonic()
        self._idle[connection] = None
        self._idle_by_origin.setdefault(connection.origin, {})[connection] = None
        if self._waiters:
            self._serve_waiters()
        self._tell("connection kept", connection)
        if len(self._idle) > self._limits.idle:
            self._drop(next(iter(self._idle)), "too many are idle")
        if self._sweeper is None:
            self._arm_sweeper()

    async def aclose(self) -> None:
        """Close every connection, fail every waiter, and wait until the sockets are closed."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for waiter in self._waiters:
            if not waiter.granted.done():
                waiter.granted.set_exception(_shut_down())
        self._waiters.clear()
        closing = list(self._all)
        for connection in closing:
            connection.abort()
        await asyncio.gather(*(connection.closed for connection in closing))

    # -- deciding and doing

    def _try(self, origin: Origin, fresh: bool) -> Connection | Choice | None:
        """Decide once and act: a connection, None for "open one", or WAIT."""
        choice = decide(self._census(origin), self._limits, fresh=fresh)
        if choice is Choice.REUSE:
            connection = self._take_idle(self._idle_by_origin[origin])
            return self._try(origin, fresh) if connection is None else connection
        if choice is Choice.WAIT:
            return choice
        if choice is not Choice.OPEN:
            here = choice is Choice.EVICT_HERE
            idle = self._idle_by_origin[origin] if here else self._idle
            self._forget(victim := next(iter(idle)), "made room for another")
            victim.abort()
        self._open[origin] += 1
        return None

    def _census(self, origin: Origin) -> Census:
        idle_here = len(self._idle_by_origin.get(origin, ()))
        return Census(idle_here, self._open[origin], len(self._idle), self._open.total())

    def _take_idle(self, here: dict[Connection, None]) -> Connection | None:
        """The most recently used of an origin's idle ones; None, and it is gone, if its peer hung up."""
        connection = next(reversed(here))
        if not connection.usable():
            self._forget(connection, "its peer hung up while it was idle")
            connection.abort()
            return None
        del self._idle[connection], here[connection]
        return connection

    async def _open_one(self, origin: Origin) -> Connection:
        """Open a connection in the place already counted for it."""
        began_at_s = self._clock.monotonic()
        try:
            connection = await self._opener(origin, self._closed)
        except BaseException:
            self._free(origin)
            raise
        self._all.add(connection)
        if _log.isEnabledFor(logging.DEBUG):
            ms = round((self._clock.monotonic() - began_at_s) * 1000, 1)
            self._tell("connection opened", connection, ms=ms)
        if self._is_closed:
            connection.abort()
            raise _shut_down()
        return connection

    async def _wait(self, waiter: _Waiter) -> Connection | None:
        self._waiters[waiter] = None
        try:
            return await waiter.granted
        except BaseException:
            self._waiters.pop(waiter, None)
            self._give_back(waiter)
            raise

    def _give_back(self, waiter: _Waiter) -> None:
        """Cancelled in the very moment it was served: pass on what it was given."""
        granted = waiter.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            connection = granted.result()
            if connection is None:
                self._free(waiter.origin)
            else:
                self.release(connection)

    def _serve_waiters(self) -> None:
        """One place or one idle connection has come free: at most one waiter can go on."""
        for waiter in list(self._waiters):
            if waiter.granted.done():  # cancelled, its task has only not run yet
                continue
            granted = self._try(waiter.origin, waiter.fresh)
            if granted is not Choice.WAIT:
                del self._waiters[waiter]
                waiter.granted.set_result(granted if isinstance(granted, Connection) else None)
                return

    # -- bookkeeping

    def _closed(self, connection: Connection) -> None:
        """A connection went away, whoever closed it."""
        if connection in self._all:
            was_idle = connection in self._idle
            self._forget(
                connection, "its peer hung up" if was_idle else "its answer was the last, or cut"
            )
            self._serve_waiters()

    def _drop(self, connection: Connection, why: str) -> None:
        """Close an idle connection."""
        self._forget(connection, why)
        connection.abort()
        self._serve_waiters()

    def _forget(self, connection: Connection, why: str) -> None:
        self._unlist(connection)
        self._all.discard(connection)
        self._count_down(connection.origin)
        self._tell("connection closed", connection, why=why)

    def _tell(self, event: str, connection: Connection, **more: object) -> None:
        """What became of a connection, and how many there are now."""
        if _log.isEnabledFor(logging.DEBUG):
            fields = {
                "host": connection.origin.host,
                "requests": connection.exchanges,
                "open": self._open.total(),
                "idle": len(self._idle),
                **more,
            }
            _log.debug(event, extra={"fields": fields})

    def _unlist(self, connection: Connection) -> None:
        """Take a connection off the idle lists."""
        if connection in self._idle:
            del self._idle[connection]
            del self._idle_by_origin[connection.origin][connection]

    def _free(self, origin: Origin) -> None:
        self._count_down(origin)
        self._serve_waiters()

    def _count_down(self, origin: Origin) -> None:
        self._open[origin] -= 1
        if not self._open[origin]:
            del self._open[origin]
            self._idle_by_origin.pop(origin, None)

    # -- idle expiry

    def _arm_sweeper(self) -> None:
        """One timer for the oldest idle connection; those behind it get their turn when it fires."""
        if self._sweeper is None and self._idle:
            oldest = next(iter(self._idle))
            left_s = oldest.idle_since_s + self._limits.idle_expiry_s - self._clock.monotonic()
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(max(0.0, left_s), self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        expired_s = self._clock.monotonic() - self._limits.idle_expiry_s
        for connection in [c for c in self._idle if c.idle_since_s <= expired_s]:
            self._drop(connection, "idle for long enough")
        self._arm_sweeper()

    def __repr__(self) -> str:
        parts = [
            f"{origin} {count} open {len(self._idle_by_origin.get(origin, ()))} idle"
            for origin, count in self._open.items()
        ]
        return f"<Pool [{', '.join(parts)}] waiting={len(self._waiters)}>"


def _new_future() -> asyncio.Future[Connection | None]:
    return asyncio.get_running_loop().create_future()


def _shut_down() -> ConnectError:
    return ConnectError("the connection pool is shut down")
