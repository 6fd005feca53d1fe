"""The four clocks of one exchange, on one loop timer.

::

    connect      from the request for a connection until it is there: DNS, TCP, proxy, TLS,
                 and waiting for a free place in the pool (kept by client.py)
    first_byte   from the request being written until the answer's head is whole
    idle         between two reads of the body; stands still while the reader has us paused
    total        from send() to the end of the message

All exchanges share a timer (``alarms``). It is looked at only when it fires or when a new phase ends
sooner: a read costs one look at the clock and one store.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from kiroproxy.alarms import Alarms
from kiroproxy.errors import UpstreamTimeoutError


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds each; ``math.inf`` switches one off."""

    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float


_MESSAGES = {
    "connect": "no connection to {host} within {seconds:g} s",
    "first_byte": "{host} did not begin to answer within {seconds:g} s",
    "idle": "{host} sent nothing more for {seconds:g} s",
    "total": "the answer from {host} was not finished within {seconds:g} s",
}


def timeout_error(phase: str, host: str, timeouts: Timeouts) -> UpstreamTimeoutError:
    """The error for ``phase``, as a sentence with the host and the limit."""
    seconds: float = getattr(timeouts, f"{phase}_s")
    return UpstreamTimeoutError(_MESSAGES[phase].format(host=host, seconds=seconds), phase=phase)


def _nobody(error: UpstreamTimeoutError) -> None:
    """The exchange is over."""


class Watch:
    """Watches one exchange from the written request to the end of the message."""

    __slots__ = (
        "_alarms",
        "_armed_for_s",
        "_expire",
        "_host",
        "_monotonic",
        "_paused_at_s",
        "_phase",
        "_timeouts",
        "_total_at_s",
        "last_read_at_s",
    )

    def __init__(
        self,
        timeouts: Timeouts,
        host: str,
        started_at_s: float,
        monotonic: Callable[[], float],
        expire: Callable[[UpstreamTimeoutError], None],
        alarms: Alarms,
    ) -> None:
        self._alarms = alarms
        self._timeouts = timeouts
        self._host = host
        self._monotonic = monotonic
        self._expire = expire
        self._total_at_s = started_at_s + timeouts.total_s
        self._phase = "first_byte"
        self._paused_at_s: float | None = None
        self._armed_for_s = math.inf
        self.last_read_at_s = 0.0  # the owner sets it at each read

    def start(self) -> None:
        """The request is written: the first-byte clock runs."""
        self.last_read_at_s = now_s = self._monotonic()
        self._arm(now_s)

    def head_came(self) -> None:
        """From now on the idle clock counts instead of the first-byte clock."""
        self._phase = "idle"
        self.last_read_at_s = now_s = self._monotonic()
        if self._due()[0] < self._armed_for_s:
            self._arm(now_s)

    def pause(self) -> None:
        """The reader holds us back: the idle clock stands still."""
        if self._paused_at_s is None:
            self._paused_at_s = self._monotonic()

    def resume(self) -> None:
        if self._paused_at_s is not None:
            now_s = self._monotonic()
            self.last_read_at_s += now_s - self._paused_at_s
            self._paused_at_s = None
            if self._due()[0] < self._armed_for_s:
                self._arm(now_s)

    def stop(self) -> None:
        """For good. Nobody is told any more, and who would have been is not held by this."""
        self._alarms.drop(self)
        self._expire = _nobody

    def _due(self) -> tuple[float, str]:
        """When the next clock runs out, and which."""
        if self._paused_at_s is None:
            timeouts = self._timeouts
            limit_s = timeouts.idle_s if self._phase == "idle" else timeouts.first_byte_s
            at_s = self.last_read_at_s + limit_s
            if at_s <= self._total_at_s:
                return at_s, self._phase
        return self._total_at_s, "total"

    def _arm(self, now_s: float) -> None:
        self._armed_for_s = due_at_s = self._due()[0]
        self._alarms.set(self, due_at_s - now_s)

    def ring(self) -> None:
        due_at_s, phase = self._due()
        now_s = self._monotonic()
        if due_at_s <= now_s:
            self._expire(timeout_error(phase, self._host, self._timeouts))
        else:
            self._arm(now_s)
