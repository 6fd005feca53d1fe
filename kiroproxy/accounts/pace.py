"""How many requests an account serves at once, and how fast they may follow each other. Pure.

The service's rate limit behaves as a penalty window: measured, nearly half of the requests that follow
another within a second of a refusal are refused too, and each try prolongs it. So the requests of an
account are spaced for some time after a throttle, even when the account's own pause is over. Apart
from that a pace is kept only where the user has set one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

CAUTIOUS_S: Final = 120.0  # measured: later than this only one request in a hundred was refused
SPACING_S: Final = 1.0
_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """``concurrency``: requests of one account at a time. ``per_minute``: their starts; a fresh
    account may start ``burst`` of them at once. 0: no limit."""

    concurrency: int = 0
    per_minute: int = 0
    burst: int = 10


class Pace:
    """The requests of one account. ``now_s``: monotonic."""

    __slots__ = ("_cautious_until_s", "_due_s", "_last_start_s", "_limits", "active")

    def __init__(self, limits: PaceLimits) -> None:
        self._limits = limits
        self._due_s = -math.inf  # when the next start would be in time at the exact pace
        self._last_start_s = -math.inf
        self._cautious_until_s = -math.inf
        self.active = 0

    def wait_s(self, now_s: float) -> float:
        """Seconds until a request may start; infinite while only the end of another one helps."""
        limits = self._limits
        if 0 < limits.concurrency <= self.active:
            return math.inf
        earliest_s = -math.inf
        if limits.per_minute > 0:
            ahead = max(0, min(limits.burst, limits.per_minute) - 1)
            earliest_s = self._due_s - ahead * _MINUTE_S / limits.per_minute
        if now_s < self._cautious_until_s:
            earliest_s = max(earliest_s, self._last_start_s + SPACING_S)
        return earliest_s - now_s if earliest_s > now_s else 0.0

    def begin(self, now_s: float) -> None:
        """A request starts; ``wait_s`` was 0."""
        self.active += 1
        self._last_start_s = now_s
        if self._limits.per_minute > 0:
            self._due_s = max(now_s, self._due_s) + _MINUTE_S / self._limits.per_minute

    def limit(self, limits: PaceLimits) -> None:
        """Other limits from now on."""
        self._limits = limits

    def end(self) -> None:
        """A request that had begun is over."""
        self.active -= 1

    def throttled(self, now_s: float) -> None:
        """The service said that the account is too fast."""
        self._cautious_until_s = now_s + CAUTIOUS_S
