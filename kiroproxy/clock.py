"""Time as a seam, so that tests can own it.

Monotonic and wall time never share a name: ``*_at_s`` is monotonic, ``*_at_epoch_s`` is wall time.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """The three things the program asks of time."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def wall(self) -> float:
        """Seconds since the epoch; may jump."""

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellable."""


class SystemClock:
    """The machine's own clock."""

    # The functions themselves: one of them is called for every read of every stream.
    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
