"""Many deadlines on one timer of the event loop, for those that are nearly never reached.

A timer of the loop costs some microseconds to set and to cancel, and a request has several. Here that is an
entry in a dictionary each time; the loop's timer stands for the earliest of all and is set anew when it
fires, or when an earlier one comes.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol

_TICK_S: Final = 0.001  # loops may count whole milliseconds


class Ringing(Protocol):
    """Who has a deadline."""

    def ring(self) -> None:
        """It has come. Must not raise; may set the next one."""


class Alarms:
    """For one event loop. Everybody has one deadline at the most."""

    __slots__ = ("_due_s", "_timer", "_timer_s", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._due_s: dict[Ringing, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf

    def set(self, whose: Ringing, seconds: float) -> None:
        """``whose`` deadline is so far from now, whatever it was before. Infinite: never; negative: at
        once."""
        at_s = self.loop.time() + seconds
        self._due_s[whose] = at_s
        if at_s < self._timer_s:
            self._wait_until(at_s)

    def drop(self, whose: Ringing) -> None:
        """No deadline any more; again is no harm."""
        self._due_s.pop(whose, None)

    def _wait_until(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = at_s
        self._timer = self.loop.call_at(at_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_s = None, math.inf
        now_s = self.loop.time() + _TICK_S
        for whose in [one for one, at_s in self._due_s.items() if at_s <= now_s]:
            if self._due_s.pop(whose, None) is not None:  # not dropped by one before it
                whose.ring()
        next_s = min(self._due_s.values(), default=math.inf)
        if next_s < self._timer_s:
            self._wait_until(next_s)
