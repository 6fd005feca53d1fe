"""A connection's two clocks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


def _nobody() -> None:
    """The connection is over."""


class Deadline:
    """Calls ``expired`` once when the time set last has come. Moving it later is one assignment:
    most deadlines are never reached, and a timer is only re-armed when it would be late."""

    __slots__ = ("_at_s", "_expired", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._at_s = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def expire_in(self, seconds: float) -> None:
        """From now on this is the deadline."""
        self._at_s = at_s = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= at_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at_s, self._on_timer)

    def never(self) -> None:
        """No deadline for the time being."""
        self._at_s = math.inf

    def cancel(self) -> None:
        """For good; lets go of the timer, and of whoever was to be told: it has this one, and so both
        would wait for a garbage collection."""
        self._expired = _nobody
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        if self._at_s <= self._loop.time():
            self._at_s = math.inf
            self._expired()
        elif self._at_s != math.inf:
            self._timer = self._loop.call_at(self._at_s, self._on_timer)


class StallWatch:
    """Calls ``stalled`` when ``taken_bytes()`` has not grown for a whole period of ``period_s``, or, from
    the second period's end on, by less than ``rate_bytes_s`` for each period but the first."""

    __slots__ = (
        "_at_bytes",
        "_due_bytes",
        "_loop",
        "_period_s",
        "_rate_bytes_s",
        "_stalled",
        "_taken_bytes",
        "_timer",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        period_s: float,
        rate_bytes_s: int,
        taken_bytes: Callable[[], int],
        stalled: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._period_s = period_s
        self._rate_bytes_s = rate_bytes_s
        self._taken_bytes = taken_bytes
        self._stalled = stalled
        self._due_bytes: float = taken_bytes()
        self._look_again(taken_bytes())

    def cancel(self) -> None:
        """Stop watching."""
        self._timer.cancel()

    def _look_again(self, taken_bytes: int) -> None:
        self._at_bytes = taken_bytes
        self._timer = self._loop.call_later(self._period_s, self._on_timer)

    def _on_timer(self) -> None:
        taken_bytes = self._taken_bytes()
        if taken_bytes > self._at_bytes and taken_bytes >= self._due_bytes:
            self._due_bytes += self._rate_bytes_s * self._period_s
            self._look_again(taken_bytes)
        else:
            self._stalled()
