"""Server-sent events on an exchange: starts once, one chunk per write, pings while nothing comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from kiroproxy.alarms import Alarms
from kiroproxy.http.exchange import Exchange
from kiroproxy.http.messages import RawHeader

_OK = 200


class SSEWriter:
    """Writes what it is given; knows nothing about events.

    ``headers`` (with the content type) are read when the head is written, not before. ``on_start``
    makes the opening events, ``ping`` something harmless for every ``ping_interval_s`` seconds
    without a write; the first ping is due that long after construction and starts the answer.

    Must be made on the running loop, to which ``alarms`` belongs. Pings stop at ``end``, ``abort`` and
    ``close``, and when the exchange is finished in any other way.
    """

    __slots__ = (
        "_alarms",
        "_exchange",
        "_headers",
        "_interval_s",
        "_last_s",
        "_now_s",
        "_on_start",
        "_ping",
        "_write",
        "started",
    )

    def __init__(
        self,
        exchange: Exchange,
        headers: Iterable[RawHeader],
        *,
        ping: Callable[[], bytes],
        ping_interval_s: float,
        on_start: Callable[[], bytes],
        alarms: Alarms | None = None,
    ) -> None:
        self._exchange = exchange
        self._headers = headers
        self._ping = ping
        self._interval_s = ping_interval_s
        self._on_start = on_start
        self.started = False
        self._write = exchange.write
        self._alarms = alarms or Alarms(asyncio.get_running_loop())
        self._now_s = self._alarms.loop.time
        self._last_s = self._now_s()
        self._alarms.set(self, ping_interval_s)

    def begin(self) -> None:
        """Send head and opening events now. Idempotent."""
        if not self.started:
            self._start(b"")

    def write(self, data: bytes) -> None:
        """One chunk, one write; the first takes head and opening events along."""
        if self.started:
            self._write(data)
            self._last_s = self._now_s()
        else:
            self._start(data)

    def end(self, data: bytes = b"") -> None:
        """The last events and the proper end of the message."""
        self.begin()
        self.close()
        self._exchange.end(data)

    def abort(self) -> None:
        """Cut the message; the client sees that it is not whole."""
        self.close()
        self._exchange.abort()

    def close(self) -> None:
        """Stop the pings; the exchange stays as it is. Idempotent."""
        self._alarms.drop(self)

    def _start(self, data: bytes) -> None:
        self.started = True
        self._exchange.start(_OK, self._headers, self._on_start() + data)
        self._last_s = self._now_s()

    def ring(self) -> None:
        """One deadline for the whole stream: writes only note the time, and this looks at it."""
        if self._exchange.finished:
            return
        due_s = self._last_s + self._interval_s
        now_s = self._now_s()
        if now_s >= due_s:
            if not self._exchange.write_paused:  # it has unread events enough
                self.write(self._ping())
            due_s = now_s + self._interval_s
        self._alarms.set(self, due_s - now_s)
