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
    the second period's end on, by less than ``rate_bytes_s`` for each period but the first.

    ``rest`` when the client has caught up, ``go_on`` when it is behind again. That starts anew, but one who
    is behind again and again is judged by it all: two periods are free, then it is ``stalled`` at less
    than a quarter of the rate. Who keeps up for a period has all of that forgotten.
    """

    __slots__ = (
        "_at_bytes",
        "_began_s",
        "_behind_s",
        "_due_bytes",
        "_from_bytes",
        "_loop",
        "_period_s",
        "_rate_bytes_s",
        "_rested_s",
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
        self._behind_s = 0.0  # before this time
        self._from_bytes = taken_bytes()
        self._rested_s = 0.0
        self._begin()

    def rest(self) -> None:
        """The client has caught up."""
        self._timer.cancel()
        self._rested_s = self._loop.time()
        self._behind_s += self._rested_s - self._began_s
        if self._behind_s > 2 * self._period_s:
            due_bytes = self._behind_s * self._rate_bytes_s / 4
            if self._taken_bytes() - self._from_bytes < due_bytes:
                self._stalled()

    def go_on(self) -> None:
        """It is behind again."""
        if self._loop.time() - self._rested_s >= self._period_s:
            self._behind_s = 0.0
            self._from_bytes = self._taken_bytes()
        self._begin()

    def _begin(self) -> None:
        self._began_s = self._loop.time()
        taken_bytes = self._taken_bytes()
        self._due_bytes: float = taken_bytes
        self._look_again(taken_bytes)

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
